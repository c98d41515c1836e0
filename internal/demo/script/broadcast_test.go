package script_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

type events = grpc.ServerStreamingClient[scriptv1.BroadcastEvent]

// watch opens a call.
func watch(t *testing.T, conn *grpc.ClientConn, r *scriptv1.BroadcastRequest) events {
	t.Helper()
	stream, err := scriptv1.NewBroadcastServiceClient(conn).WatchPublic(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// take reads count events, or all up to the end for 0.
func take(t *testing.T, stream events, count int) (got []*scriptv1.BroadcastEvent, err error) {
	t.Helper()
	for count == 0 || len(got) < count {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, e)
	}
	return got, nil
}

func define(t *testing.T, b *script.Backend, def *scriptv1.Log) {
	t.Helper()
	if err := b.DefineLog(def); err != nil {
		t.Fatal(err)
	}
}

func numbers(events []*scriptv1.BroadcastEvent) (n []uint64) {
	for _, e := range events {
		n = append(n, e.GetN())
	}
	return n
}

// chained checks the hashes of events that follow each other.
func chained(t *testing.T, events []*scriptv1.BroadcastEvent) {
	t.Helper()
	var c script.Chain
	for _, e := range events {
		if err := c.Add(script.LinkOf(e)); err != nil {
			t.Error(err)
		}
	}
}

func TestLogCursors(t *testing.T) {
	b := script.New()
	conn, stop := start(t, b)
	defer stop()
	define(t, b, &scriptv1.Log{Stream: "s", Head: 2500, Size: 20, Last: 2500, First: 3})
	all, err := take(t, watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"}), 0)
	if err != nil || len(all) != 2498 {
		t.Fatalf("%d events, %v", len(all), err)
	}
	chained(t, all)
	token := func(n int) string { return all[n-3].GetToken() }
	define(t, b, &scriptv1.Log{Stream: "other", Head: 2500})
	foreign, err := take(t, watch(t, conn, &scriptv1.BroadcastRequest{Stream: "other"}), 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		request *scriptv1.BroadcastRequest
		first   int // 0 for none
		code    codes.Code
	}{
		{"after a number", &scriptv1.BroadcastRequest{AfterSequence: 2000}, 2001, codes.OK},
		{"at a number", &scriptv1.BroadcastRequest{FromSequence: 2000}, 2000, codes.OK},
		{"after a token", &scriptv1.BroadcastRequest{AfterToken: token(2000)}, 2001, codes.OK},
		{"at a token", &scriptv1.BroadcastRequest{FromToken: token(2000)}, 2000, codes.OK},
		{"after the last", &scriptv1.BroadcastRequest{AfterSequence: 2500}, 0, codes.OK},
		{"after the last that is gone", &scriptv1.BroadcastRequest{AfterSequence: 2}, 3, codes.OK},
		{"after one that is gone", &scriptv1.BroadcastRequest{AfterSequence: 1}, 0, codes.OutOfRange},
		{"at one that is gone", &scriptv1.BroadcastRequest{FromSequence: 2}, 0, codes.OutOfRange},
		{"after one that has not come", &scriptv1.BroadcastRequest{AfterSequence: 2501}, 0, codes.OutOfRange},
		{"after a token of another log", &scriptv1.BroadcastRequest{AfterToken: foreign[6].GetToken()}, 0, codes.NotFound},
		{"after a token that is none", &scriptv1.BroadcastRequest{AfterToken: "x"}, 0, codes.NotFound},
		{"two cursors", &scriptv1.BroadcastRequest{AfterSequence: 5, FromSequence: 5}, 0, codes.InvalidArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.request.Stream = "s"
			got, err := take(t, watch(t, conn, test.request), 0)
			if status.Code(err) != test.code {
				t.Errorf("ended with %v, want %v", err, test.code)
			}
			var want []*scriptv1.BroadcastEvent
			if test.first > 0 {
				want = all[test.first-3:]
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
	calls := b.Calls("s")
	if c := calls[len(calls)-1].GetCursor(); c != "from 5" && c != "after 5" {
		t.Errorf("the last call's cursor is %q", c)
	}
}

// A backend that takes the place of another has the same log, by the clock alone.
func TestLogsGoOnByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		def := &scriptv1.Log{
			Stream: "s", Head: 1000, Begin: timestamppb.Now(), Every: durationpb.New(time.Second), Size: 5, Keys: 3, DeleteOneOf: 4,
		}
		var got []*scriptv1.BroadcastEvent
		read := func(count int) {
			b := script.New()
			define(t, b, def)
			conn, stop := start(t, b)
			defer stop()
			r := &scriptv1.BroadcastRequest{Stream: "s", AfterSequence: 1000}
			if len(got) > 0 {
				r.AfterSequence = got[len(got)-1].GetSequence()
			}
			more, err := take(t, watch(t, conn, r), count)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, more...)
		}
		begin := time.Now()
		read(5)
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("five events took %v, want 4 s", took)
		}
		<-time.After(10 * time.Second) // in fake time
		read(11)
		if took := time.Since(begin); took != 15*time.Second {
			t.Errorf("all took %v, want 15 s", took)
		}
		if len(got) != 16 || got[0].GetN() != 1001 {
			t.Errorf("got %v", numbers(got))
		}
		chained(t, got)
	})
}

func TestLogsGrowOnCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := script.New()
		conn, stop := start(t, b)
		defer stop()
		stream := watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"})
		synctest.Wait()
		if head := b.Append("s", 2); head != 2 {
			t.Errorf("head %d, want 2", head)
		}
		first, err := take(t, stream, 2)
		if err != nil {
			t.Fatal(err)
		}
		define(t, b, &scriptv1.Log{Stream: "s", BeginAt: scriptv1.Begin_BEGIN_LIVE})
		define(t, b, &scriptv1.Log{Stream: "s", BeginAt: scriptv1.Begin_BEGIN_LIVE, Begin: timestamppb.Now()})
		live := watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"})
		synctest.Wait()
		b.Append("s", 1)
		for _, s := range []events{stream, live} {
			e, err := s.Recv()
			if err != nil || e.GetN() != 3 {
				t.Errorf("the third event: %v, %v", e, err)
			}
			if s == stream {
				chained(t, append(first, e))
			}
		}
		b.Compact("s", 3)
		if oldest, head := b.Bounds("s"); oldest != 3 || head != 3 {
			t.Errorf("events %d to %d, want 3", oldest, head)
		}
		define(t, b, &scriptv1.Log{Stream: "s", Keep: 2, Last: 9})
		b.Append("s", 10)
		if oldest, head := b.Bounds("s"); oldest != 8 || head != 9 {
			t.Errorf("events %d to %d, want 8 to 9", oldest, head)
		}
		if rest, err := take(t, stream, 0); err != nil || len(rest) != 6 {
			t.Errorf("up to the end: %v, %v", numbers(rest), err)
		}
		if n := b.Count("demo.script.v1.BroadcastService.WatchPublic"); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
}

// Each way in which a backend can get its cursors wrong; the links themselves are right.
func TestLogFaults(t *testing.T) {
	b := script.New()
	conn, stop := start(t, b)
	defer stop()
	define(t, b, &scriptv1.Log{Stream: "s", Head: 6, Last: 6, Faults: []*scriptv1.Fault{
		{N: 2, Wrong: scriptv1.Wrong_WRONG_MISSING}, {N: 4, Wrong: scriptv1.Wrong_WRONG_SAME}, {N: 6, Wrong: scriptv1.Wrong_WRONG_BACK},
	}})
	got, err := take(t, watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"}), 0)
	if err != nil {
		t.Fatal(err)
	}
	chained(t, got)
	var sequences []uint64
	tokens := map[string][]uint64{}
	for _, e := range got {
		sequences = append(sequences, e.GetSequence())
		tokens[e.GetToken()] = append(tokens[e.GetToken()], e.GetN())
	}
	if diff := cmp.Diff([]uint64{1, 0, 3, 3, 5, 4}, sequences); diff != "" {
		t.Errorf("sequences (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{3, 4}, tokens[got[2].GetToken()]); diff != "" || len(tokens[""]) != 1 {
		t.Errorf("tokens: %v", tokens)
	}

	for _, test := range []struct {
		name string
		def  *scriptv1.Log
		want []uint64
		code codes.Code
	}{
		{"the cursor is ignored", &scriptv1.Log{IgnoreCursor: true}, []uint64{1, 2, 3, 4, 5, 6}, codes.OK},
		{"some come again", &scriptv1.Log{Overlap: 2}, []uint64{3, 4, 5, 6}, codes.OK},
		{"all come again", &scriptv1.Log{Overlap: 20}, []uint64{1, 2, 3, 4, 5, 6}, codes.OK},
		{"it ends with an error", &scriptv1.Log{End: &scriptv1.Fail{Code: uint32(codes.Aborted)}}, []uint64{5, 6}, codes.Aborted},
		{"it is refused", &scriptv1.Log{Refuse: &scriptv1.Fail{Code: uint32(codes.FailedPrecondition)}}, nil, codes.FailedPrecondition},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.def.Stream, test.def.Last = "s", 6
			define(t, b, test.def)
			got, err := take(t, watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s", AfterSequence: 4}), 0)
			if diff := cmp.Diff(test.want, numbers(got)); diff != "" || status.Code(err) != test.code {
				t.Errorf("ended with %v; events (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestLogKeys(t *testing.T) {
	b := script.New()
	conn, stop := start(t, b)
	defer stop()
	def := &scriptv1.Log{Stream: "s", Head: 200, Last: 200, Keys: 10, DeleteOneOf: 3}
	define(t, b, def)
	all, err := take(t, watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"}), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{}
	for _, e := range all {
		if want[e.GetKey()] = e.GetN(); e.GetDeleted() {
			delete(want, e.GetKey())
		}
	}
	if diff := cmp.Diff(want, b.State("s")); diff != "" || len(want) < 2 || len(want) > 9 {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	def.BeginAt = scriptv1.Begin_BEGIN_SNAPSHOT
	define(t, b, def)
	snapshot, err := take(t, watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"}), 0)
	if err != nil || len(snapshot) != len(want) {
		t.Fatalf("the snapshot: %v, %v, want %v", snapshot, err, want)
	}
	for i, e := range snapshot {
		if want[e.GetKey()] != e.GetN() || (i > 0 && e.GetN() < snapshot[i-1].GetN()) {
			t.Errorf("the snapshot: %v, want %v in order", snapshot, want)
		}
		if diff := cmp.Diff(all[e.GetN()-1], e, protocmp.Transform()); diff != "" {
			t.Errorf("event %d of the snapshot (-want +got):\n%s", e.GetN(), diff)
		}
	}
}

func TestInterrupt(t *testing.T) {
	for name, test := range map[string]struct {
		fail *scriptv1.Fail
		code codes.Code
	}{
		"with a status": {&scriptv1.Fail{Code: uint32(codes.ResourceExhausted)}, codes.ResourceExhausted},
		"by a cut":      {nil, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			b := script.New()
			conn, stop := start(t, b)
			defer stop()
			b.Append("s", 1)
			stream := watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"})
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			if n := b.Interrupt("other", nil); n != 0 {
				t.Errorf("%d calls of another log", n)
			}
			if n := b.Interrupt("s", test.fail); n != 1 {
				t.Errorf("%d calls interrupted, want 1", n)
			}
			if _, err := stream.Recv(); status.Code(err) != test.code {
				t.Errorf("ended with %v, want %v", err, test.code)
			}
			if got, err := take(t, watch(t, conn, &scriptv1.BroadcastRequest{Stream: "s"}), 1); err != nil || len(got) != 1 {
				t.Errorf("a call after that: %v, %v", got, err)
			}
		})
	}
}

// Every method shows the log; what is different between them is the bridge's business.
func TestWaysToWatch(t *testing.T) {
	b := script.New()
	b.Principals = true
	conn, stop := start(t, b)
	defer stop()
	b.Append("s", 1)
	c := scriptv1.NewBroadcastServiceClient(conn)
	for name, method := range map[string]func(context.Context, *scriptv1.BroadcastRequest, ...grpc.CallOption) (events, error){
		"WatchPublic": c.WatchPublic, "WatchEarliest": c.WatchEarliest, "WatchKeyed": c.WatchKeyed, "WatchTokens": c.WatchTokens,
		"WatchInclusive": c.WatchInclusive, "WatchInclusiveTokens": c.WatchInclusiveTokens, "WatchShared": c.WatchShared,
		"WatchOwn": c.WatchOwn, "WatchPlain": c.WatchPlain,
	} {
		stream, err := method(t.Context(), &scriptv1.BroadcastRequest{Stream: "s"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := take(t, stream, 1); err != nil || got[0].GetStream() != "s" || got[0].GetKind() != "odd" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if n := b.Count("demo.script.v1.BroadcastService." + name); n != 1 {
			t.Errorf("%s was called %d times", name, n)
		}
	}
	b.Append(script.PrincipalLog("s", "me"), 1)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "me")
	stream, err := scriptv1.NewPrincipalServiceClient(conn).WatchPrincipal(ctx, &scriptv1.BroadcastRequest{Stream: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := take(t, stream, 1); err != nil || got[0].GetStream() != "s/me" {
		t.Errorf("a principal's log: %v, %v", got, err)
	}
}

func TestLogService(t *testing.T) {
	b := script.New()
	conn, stop := start(t, b)
	defer stop()
	c := scriptv1.NewLogServiceClient(conn)
	if _, err := c.DefineLog(t.Context(), &scriptv1.DefineLogRequest{Log: &scriptv1.Log{Stream: "s", Keys: 1, First: 2}}); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]*scriptv1.Log{
		"nothing": nil, "size": {Stream: "s", Size: 1<<20 + 1}, "head": {Stream: "s", Head: 1 << 40},
		"every": {Stream: "s", Every: &durationpb.Duration{}}, "begin": {Stream: "s", Begin: &timestamppb.Timestamp{Nanos: -1}},
	} {
		if _, err := c.DefineLog(t.Context(), &scriptv1.DefineLogRequest{Log: bad}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want INVALID_ARGUMENT", name, err)
		}
	}
	if got, err := c.AppendEvents(t.Context(), &scriptv1.AppendEventsRequest{Stream: "s", Count: 3}); err != nil || got.GetHead() != 3 {
		t.Errorf("AppendEvents: %v, %v", got, err)
	}
	got, err := c.GetLog(t.Context(), &scriptv1.GetLogRequest{Stream: "s"})
	want := &scriptv1.GetLogResponse{Oldest: 2, Head: 3, State: map[string]uint64{"key0": 3}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("GetLog: %v (-want +got):\n%s", err, diff)
	}
	if got, err := c.InterruptCalls(t.Context(), &scriptv1.InterruptCallsRequest{Stream: "s"}); err != nil || got.GetCalls() != 0 {
		t.Errorf("InterruptCalls: %v, %v", got, err)
	}
}
