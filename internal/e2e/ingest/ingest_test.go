package ingest_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/grpc-sse/grpc-sse/internal/access"
	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/eventlog/eventlogtest"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

const path = "/demo.feed.v1.FeedService/WatchFeed"

// way is one way to take in a call of so many messages. It returns when all were taken.
type way func(tb testing.TB, messages int)

// plain is a client of grpc-go alone, with the bridge's windows.
func plain(tb testing.TB, address string, options ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	conn, err := grpc.NewClient(address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithStaticStreamWindowSize(128 << 10), grpc.WithStaticConnWindowSize(1 << 20),
	}, options...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// receiving is a loop over RecvMsg.
func receiving(conn *grpc.ClientConn, target any, seen func(), options ...grpc.CallOption) way {
	return func(tb testing.TB, messages int) {
		tb.Helper()
		ctx, cancel := context.WithCancel(tb.Context())
		defer cancel()
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path, options...)
		if err == nil {
			err = s.SendMsg(request(messages))
		}
		for n := 0; err == nil; n++ {
			if err = s.RecvMsg(target); err == nil {
				seen()
			} else if errors.Is(err, io.EOF) && n == messages {
				return
			}
		}
		tb.Fatal(err)
	}
}

// protoCodec sends bytes and receives messages.
type protoCodec struct{ rawCodec }

func (protoCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return encoding.GetCodecV2("proto").Unmarshal(data, v)
}

// withStats is what the bridge needs of grpc-go to know how a call ended, and what costs a clock read and an allocation
// for every message.
func withStats() grpc.DialOption { return grpc.WithStatsHandler(ignored{}) }

// ignored is a stats handler that does nothing: what it costs to have one.
type ignored struct{}

func (ignored) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (ignored) HandleRPC(context.Context, stats.RPCStats)                         {}
func (ignored) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (ignored) HandleConn(context.Context, stats.ConnStats)                       {}

func generatedWay(tb testing.TB, address string) way {
	tb.Helper()
	return receiving(plain(tb, address), &feedv1.WatchFeedResponse{}, func() {}, grpc.ForceCodecV2(protoCodec{}))
}

func protojsonWay(tb testing.TB, address string) way {
	tb.Helper()
	m := &feedv1.WatchFeedResponse{}
	var line []byte
	return receiving(plain(tb, address), m, func() {
		var err error
		if line, err = (protojson.MarshalOptions{}).MarshalAppend(line[:0], m); err != nil {
			tb.Fatal(err)
		}
	}, grpc.ForceCodecV2(protoCodec{}))
}

func connect(tb testing.TB, address string) *upstream.Upstream {
	tb.Helper()
	u, err := upstream.New(upstream.Options{Target: address})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = u.Close() })
	return u
}

func upstreamWay(tb testing.TB, address string) way {
	tb.Helper()
	u := connect(tb, address)
	return func(tb testing.TB, messages int) {
		tb.Helper()
		got := 0
		for m, err := range u.Stream(tb.Context(), upstream.Call{Method: path, Request: request(messages), IdleTimeout: time.Minute}) {
			if err != nil || len(m.Data) != len(message) {
				tb.Fatal(len(m.Data), err)
			}
			got++
		}
		if got != messages {
			tb.Fatal("got", got)
		}
	}
}

// counted is an encoder that closes done with the last message.
type counted struct {
	*transcode.Encoder
	left int
	done chan struct{}
}

func (c *counted) AppendFrame(dst []byte, id event.ID, wire []byte) []byte {
	dst = c.Encoder.AppendFrame(dst, id, wire)
	if c.left--; c.left == 0 {
		close(c.done)
	}
	return dst
}

// feedWay is the whole path, into the log of a new run each time. read reads the run until done is closed.
func feedWay(
	share schema.Share, read func(tb testing.TB, s *feed.Subscription, done <-chan struct{}),
) func(testing.TB, string) way {
	return func(tb testing.TB, address string) way {
		tb.Helper()
		u := connect(tb, address)
		f := feed.New(feed.Options{Budget: eventlog.NewBudget(256 << 20)})
		tb.Cleanup(f.Close)
		output := (&feedv1.WatchFeedResponse{}).ProtoReflect().Descriptor()
		m := &schema.Method{Name: "demo.feed.v1.FeedService.WatchFeed", Path: path, Output: output, Stream: schema.Stream{
			Retention: schema.Retention{Age: 10 * time.Minute, Events: 10_000, Bytes: 8 << 20}, IdleTimeout: time.Minute,
			Share: share, Event: schema.EventType{Field: output.Fields().ByName("kind")},
		}}
		encoder := transcode.NewEncoder(m)
		key := access.StreamKey{}
		return func(tb testing.TB, messages int) {
			tb.Helper()
			last := &counted{Encoder: encoder, left: messages, done: make(chan struct{})}
			key[0]++
			s, err := f.Subscribe(feed.Request{
				Method: m, Caller: u, Encoder: func() feed.Encoder { return last }, Wire: request(messages), StreamKey: key,
			})
			if err != nil {
				tb.Fatal(err)
			}
			s.Opening(nil, 0)
			read(tb, s, last.done)
			s.Forget()
			s.Close()
		}
	}
}

// nobody reads.
func nobody(_ testing.TB, _ *feed.Subscription, done <-chan struct{}) { <-done }

// keepingUp reads everything, as much at once as delivery takes.
func keepingUp(tb testing.TB, s *feed.Subscription, _ <-chan struct{}) {
	tb.Helper()
	news := eventlogtest.Watch(s.Topic())
	for {
		changed := news.Next()
		frames, err := s.Next(64 << 10)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			tb.Fatal(err)
		case len(frames) == 0:
			<-changed
		default:
			s.Written()
		}
	}
}

// bareWay makes the floor, with dial options of its own.
func bareWay(options ...grpc.DialOption) func(testing.TB, string) way {
	return func(tb testing.TB, address string) way {
		tb.Helper()
		return receiving(plain(tb, address, options...), nil, func() {}, grpc.ForceCodecV2(rawCodec{}))
	}
}

// ways are all that is measured, the floor first.
var ways = []struct {
	name string
	make func(tb testing.TB, address string) way
}{
	{"RecvMsg", bareWay()},
	{"RecvMsg+stats", bareWay(withStats())},
	{"generated", generatedWay},
	{"generated+protojson", protojsonWay},
	{"upstream", upstreamWay},
	{"log/shared/unread", feedWay(schema.SharePublic, nobody)},
	{"log/shared/read", feedWay(schema.SharePublic, keepingUp)},
	{"log/own/read", feedWay(schema.ShareNone, keepingUp)},
}

// perCall is how many messages a call has, so that its beginning and end do not count.
const perCall = 50_000

// BenchmarkIngest has the backend in a process of its own.
func BenchmarkIngest(b *testing.B) { measure(b, startServer(b)) }

// BenchmarkIngestInside has the backend in this process, whose cost is in all figures, the floor's too. With -cpu 1 the
// two take turns on one core, in batches as deep as the stream's window.
func BenchmarkIngestInside(b *testing.B) { measure(b, startInside(b)) }

func measure(b *testing.B, address string) {
	b.Helper()
	// As much address space, and no memory, as the bridge takes so that garbage is not collected for every 4 MB: all ways
	// have it, the floor too.
	heapFloor := make([]byte, 16<<20)
	defer runtime.KeepAlive(heapFloor)
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			take := w.make(b, address)
			take(b, perCall) // connected, and programs made
			before, began, n := used(b), time.Now(), 0
			for b.Loop() {
				take(b, perCall)
				n += perCall
			}
			elapsed, after := time.Since(began), used(b)
			report := func(total float64, unit string) { b.ReportMetric(total/float64(n), unit) }
			report(float64(elapsed), "ns/msg")
			report(float64(after.cpu-before.cpu), "cpu-ns/msg")
			report(float64(after.mallocs-before.mallocs), "allocs/msg")
			report(float64(after.bytes-before.bytes), "B/msg")
			b.ReportMetric(0, "ns/op") // one operation is a whole call
		})
	}
}
