package upstream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

type dialer = func(context.Context, string) (net.Conn, error)

// slowly delays what dial does.
func slowly(dial dialer, by time.Duration) dialer {
	return func(ctx context.Context, address string) (net.Conn, error) {
		select {
		case <-time.After(by):
			return dial(ctx, address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestNewRefusesBadTargets(t *testing.T) {
	for _, target := range []string{"", "nosuch\x00:::"} {
		if u, err := upstream.New(upstream.Options{Target: target}); err == nil {
			_ = u.Close()
			t.Errorf("target %q was accepted", target)
		}
	}
}

func TestInvoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u := start(t, func(c *incoming) error {
			_ = c.SetHeader(metadata.Pairs("h", "1"))
			c.SetTrailer(metadata.Pairs("t", "2"))
			if c.request == "missing" {
				return status.Error(codes.NotFound, "no such price")
			}
			c.send("got " + c.request)
			return nil
		})
		call := upstream.Call{Method: "/test.Service/Get", Request: []byte("x")}
		resp, header, trailer, err := u.Invoke(t.Context(), call)
		if err != nil || string(resp) != "got x" || header.Get("h")[0] != "1" || trailer.Get("t")[0] != "2" {
			t.Errorf("got %q, %v, %v, %v", resp, header, trailer, err)
		}
		call.Request = []byte("missing")
		_, _, trailer, err = u.Invoke(t.Context(), call)
		if o := outcome.Of(err); o.Code() != codes.NotFound || o.Class != outcome.Permanent || o.Status.Message() != "no such price" {
			t.Errorf("got %v", err)
		}
		if trailer.Get("t") == nil {
			t.Error("an error's trailers are lost")
		}
		call = upstream.Call{Method: "/test.Service/Get", Request: []byte("too long"), MaxMessageBytes: 4}
		_, _, _, err = u.Invoke(t.Context(), call)
		if o := outcome.Of(err); o.Code() != codes.ResourceExhausted || o.Class != outcome.Permanent {
			t.Errorf("too large: %v", err)
		}
	})
}

// The deadline goes to the backend, and what it had sent by then comes back with the error.
func TestInvokeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told time.Duration
		b, u := start(t, func(c *incoming) error {
			at, _ := c.Context().Deadline()
			told = time.Until(at)
			_ = c.SendHeader(metadata.Pairs("h", "1"))
			return c.hold()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, header, _, err := u.Invoke(ctx, upstream.Call{Method: "/test.Service/Get"})
		if o := outcome.Of(err); o.Code() != codes.DeadlineExceeded || o.Problem().Status != 504 || !o.Sent {
			t.Errorf("got %v, HTTP status %d, sent %v", err, o.Problem().Status, o.Sent)
		}
		if took := time.Since(began); took != 3*time.Second || told != 3*time.Second || b.calls.Load() != 1 {
			t.Errorf("after %v; the backend was told %v; %d calls", took, told, b.calls.Load())
		}
		if len(header.Get("h")) == 0 {
			t.Error("the headers are lost")
		}
	})
}

// A backend that refuses a call by its headers, before the request has gone out.
func TestRefusedBeforeTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rawServer{early: func(c *rawConn, id uint32) {
			c.headers(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "7", "t", "2")
		}}
		u := s.connect(t, grpc.WithStatsHandler(pauseAtHeaders{}))
		r := read(t.Context(), u, upstream.Call{})
		_, _, trailer, err := u.Invoke(t.Context(), upstream.Call{Method: "/test.Service/Get"})
		for _, o := range []outcome.Outcome{r.end, outcome.Of(err)} {
			if o.Code() != codes.PermissionDenied || o.Class != outcome.Permanent {
				t.Errorf("got %v", o.Err())
			}
		}
		if len(trailer.Get("t")) == 0 {
			t.Error("the trailers are lost")
		}
		var reply []byte
		err = u.Conn().Invoke(t.Context(), "/test.Service/Get", []byte(nil), &reply, grpc.ForceCodecV2(rawCodec{}))
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("Conn().Invoke: %v", err)
		}
	})
}

// pauseAtHeaders lets a call wait between its headers and its request.
type pauseAtHeaders struct{}

func (pauseAtHeaders) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (pauseAtHeaders) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (pauseAtHeaders) HandleConn(context.Context, stats.ConnStats)                       {}

func (pauseAtHeaders) HandleRPC(_ context.Context, e stats.RPCStats) {
	if _, ok := e.(*stats.OutHeader); ok {
		elapse(50 * time.Millisecond) // less than what looks like a full connection
	}
}

// A unary call is never held: with no backend it fails at once.
func TestInvokeWithoutABackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		u := b.connect(t, nil)
		began := time.Now()
		_, _, _, err := u.Invoke(t.Context(), upstream.Call{Method: "/test.Service/Get"})
		if o := outcome.Of(err); o.Code() != codes.Unavailable || o.Sent || time.Since(began) > time.Second {
			t.Errorf("%v, sent %v, after %v", err, o.Sent, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, _, err = u.Invoke(ctx, upstream.Call{Method: "/test.Service/Get"})
		if o := outcome.Of(err); o.Code() != codes.Canceled || o.Class != outcome.Permanent || o.Sent {
			t.Errorf("cancelled: %v, sent %v", err, o.Sent)
		}
	})
}

// Changed is called for every new connection and every UNIMPLEMENTED of a call, but not for what Conn is used to probe.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes atomic.Int32
		b := &backend{handle: fails(codes.Unimplemented)}
		b.up()
		defer func() { b.down() }()
		u := b.connect(t, func(o *upstream.Options) { o.Changed = func() { changes.Add(1) } })
		check := func(when string, want int32) {
			t.Helper()
			elapse(5 * time.Second)
			if n := changes.Swap(0); n != want {
				t.Errorf("%s: %d changes, want %d", when, n, want)
			}
		}
		check("the first connection, without a call", 1)
		read(t.Context(), u, once)
		check("a stream that is UNIMPLEMENTED", 1)
		_, _, _, _ = u.Invoke(t.Context(), upstream.Call{Method: "/test.Service/Get"})
		check("a unary call that is UNIMPLEMENTED", 1)
		var reply []byte
		err := u.Conn().Invoke(t.Context(), "/test.Service/Get", []byte(nil), &reply, grpc.ForceCodecV2(rawCodec{}))
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("Conn().Invoke: %v", err)
		}
		check("a probe", 0)
		b.down()
		b.up()
		check("another server", 1)
	})
}

func TestConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{handle: func(c *incoming) error {
			c.send(incomingMetadata(c)["key"]...)
			c.send(incomingMetadata(c)["own"]...)
			return nil
		}}
		b.up()
		defer b.down()
		u := b.connect(t, func(o *upstream.Options) { o.Metadata = metadata.MD{"key": {"the bridge's"}} })
		ctx := metadata.AppendToOutgoingContext(t.Context(), "own", "mine")
		desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
		s, err := u.Conn().NewStream(ctx, desc, "/test.Service/Watch", grpc.ForceCodecV2(rawCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SendMsg([]byte("x"))
		_ = s.CloseSend()
		var got []string
		for {
			var m []byte
			if err := s.RecvMsg(&m); err != nil {
				break
			}
			got = append(got, string(m))
		}
		if diff := cmp.Diff([]string{"the bridge's", "mine"}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// A backend that is restarted on the same port, over real sockets: a call that may be repeated goes on by itself.
func TestBackendRestartsOnItsPort(t *testing.T) {
	b := &backend{}
	b.handle = func(c *incoming) error {
		c.send("a")
		if c.number == 1 {
			return c.hold()
		}
		return nil
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := lis.Addr().String()
	server, done := b.serve(lis)
	u, err := upstream.New(upstream.Options{Target: address})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	c := restart
	c.Method = "/test.Service/Watch"
	var steps []string
	for m, err := range u.Stream(t.Context(), c) {
		switch {
		case err != nil:
			t.Fatal(err)
		case m.Restarted != nil:
			steps = append(steps, "restarted: "+outcome.CodeName(m.Restarted.Code()))
		default:
			steps = append(steps, string(m.Data))
		}
		if len(steps) > 1 {
			continue
		}
		server.Stop()
		<-done
		if lis, err = net.Listen("tcp", address); err != nil {
			t.Skip("another process took the port: ", err)
		}
		server, done = b.serve(lis)
	}
	server.Stop()
	<-done
	if diff := cmp.Diff([]string{"a", "restarted: UNAVAILABLE", "a"}, steps); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUnixSocketAndTLS(t *testing.T) {
	https := httptest.NewUnstartedServer(nil)
	https.StartTLS()
	cert, roots := https.TLS.Certificates[0], x509.NewCertPool()
	roots.AddCert(https.Certificate())
	https.Close()

	b := &backend{
		handle:  func(c *incoming) error { c.send("a"); return nil },
		options: []grpc.ServerOption{grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}}))},
	}
	path := filepath.Join(t.TempDir(), "s")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server, done := b.serve(lis)
	defer func() { server.Stop(); <-done }()
	for _, c := range []struct {
		name string
		tls  *tls.Config
		want outcome.Class
	}{
		{"trusted", &tls.Config{RootCAs: roots, ServerName: "example.com"}, outcome.End},
		{"another name", &tls.Config{RootCAs: roots, ServerName: "example.org"}, outcome.Broken},
		{"plaintext", nil, outcome.Broken},
	} {
		u, err := upstream.New(upstream.Options{Target: "unix://" + path, TLS: c.tls})
		if err != nil {
			t.Fatal(err)
		}
		if r := read(t.Context(), u, upstream.Call{}); r.end.Class != c.want || r.end.Class != outcome.End && r.end.Sent {
			t.Errorf("%s: %v, sent %v", c.name, r.end.Err(), r.end.Sent)
		}
		if err := errors.Join(u.Close(), u.Close()); err != nil {
			t.Errorf("%s: Close: %v", c.name, err)
		}
	}
}
