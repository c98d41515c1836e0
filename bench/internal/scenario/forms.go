package scenario

import (
	"context"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/load"
	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// form is one way in which 1,000 clients read the same stream.
type form struct {
	name, title, how string
	needs            []target.Capability
	client           *load.Form // nil: bare sockets
	accept           string
}

func formExperiments() []Experiment {
	needs := func(all ...target.Capability) []target.Capability { return all }
	forms := []form{
		{name: "form-plain", title: "HTTP/1.1", how: "over HTTP/1.1", needs: needs(target.Fanout)},
		{
			name: "form-ndjson", title: "NDJSON", how: "as lines of JSON over HTTP/1.1",
			needs: needs(target.NDJSON), accept: "application/x-ndjson",
		},
		{
			name: "form-h2c", title: "HTTP/2 without TLS", how: "over HTTP/2, a connection each",
			needs: needs(target.HTTP2), client: &load.Form{HTTP2: true},
		},
		{
			name: "form-tls", title: "HTTP/1.1 over TLS", how: "over TLS 1.3 and HTTP/1.1",
			needs: needs(target.TLS), client: &load.Form{TLS: true},
		},
		{
			name: "form-h2", title: "HTTP/2 over TLS", how: "over TLS 1.3 and HTTP/2, a connection each",
			needs: needs(target.TLS, target.HTTP2), client: &load.Form{TLS: true, HTTP2: true},
		},
		{
			name: "form-gzip", title: "gzip", how: "compressed with gzip, over HTTP/1.1",
			needs: needs(target.Compression), client: &load.Form{Encoding: "gzip"},
		},
		{
			name: "form-zstd", title: "zstd", how: "compressed with zstd, over HTTP/1.1",
			needs: needs(target.Compression), client: &load.Form{Encoding: "zstd"},
		},
	}
	var all []Experiment
	for _, f := range forms {
		all = append(all, f.experiment())
	}
	return all
}

func (f form) experiment() Experiment {
	var o target.Options
	if f.client != nil {
		o.TLS = f.client.TLS
		if f.client.Encoding != "" {
			o.Compression = []string{f.client.Encoding}
		}
	}
	return Experiment{
		Shows: []result.Scenario{{
			Name: f.name, Title: f.title + ", 1,000 readers",
			About: "1,000 clients read one stream " + f.how + "; 20,000 deliveries a second.",
		}},
		Needs:   f.needs,
		Options: o,
		Files:   func(s Size) int { return s.Few },
		Within:  2 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			return f.run(ctx, r)
		},
	}
}

func (f form) run(ctx context.Context, r *Round) error {
	before, err := r.settled(ctx)
	if err != nil {
		return err
	}
	request := r.target.Request("form", target.Live)
	if f.accept != "" {
		request = target.WithHeader(request, "Accept", f.accept)
	}
	c := load.Config{
		Addr: r.target.Addr(), Conns: r.Few, Latency: true, Patience: r.Patience, Request: func(int) []byte { return request },
	}
	var readers *load.Readers
	if f.client == nil {
		readers, err = load.Open(ctx, c)
	} else {
		readers, err = load.OpenClients(ctx, c, *f.client)
	}
	if err != nil {
		return err
	}
	defer readers.Close()
	in := &feed{round: r, stream: "form", readers: readers}
	m, err := in.paced(ctx, r.Rate/float64(r.Few), r.During)
	if err != nil {
		return err
	}
	after, err := procstat.Anonymous(r.target.PIDs())
	if err != nil {
		return err
	}
	r.report(micros(f.name, cpuPerDelivery, 0), m.perDelivery())
	r.report(millis(f.name, "p99", 0), m.p99())
	r.report(metric{scenario: f.name, name: "bytes per delivery", unit: "bytes", better: result.Lower},
		float64(m.stats.Bytes)/float64(m.stats.Events))
	r.report(metric{scenario: f.name, name: "memory per connection", unit: "KB", better: result.Lower},
		float64(after-before)/float64(r.Few)/1000)
	return nil
}
