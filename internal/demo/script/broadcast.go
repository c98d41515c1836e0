package script

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

type broadcast = grpc.ServerStreamingServer[scriptv1.BroadcastEvent]

// cursor is where a call is asked to begin.
type cursor struct {
	given, inclusive bool
	sequence         uint64
	token            string // "" where it is a number
}

// cursorOf returns the request's cursor, and what a person would call it.
func cursorOf(r *scriptv1.BroadcastRequest) (c cursor, text string, err error) {
	given := 0
	if n := r.GetAfterSequence(); n > 0 {
		c, text, given = cursor{given: true, sequence: n}, "after "+strconv.FormatUint(n, 10), given+1
	}
	if n := r.GetFromSequence(); n > 0 {
		c, text, given = cursor{given: true, inclusive: true, sequence: n}, "from "+strconv.FormatUint(n, 10), given+1
	}
	if t := r.GetAfterToken(); t != "" {
		c, text, given = cursor{given: true, token: t}, "after "+t, given+1
	}
	if t := r.GetFromToken(); t != "" {
		c, text, given = cursor{given: true, inclusive: true, token: t}, "from "+t, given+1
	}
	if given > 1 {
		err = status.Error(codes.InvalidArgument, "there are several cursors: give one at most")
	}
	return c, text, err
}

// show plays the log named stream to one call.
func (b *Backend) show(r *scriptv1.BroadcastRequest, name string, stream broadcast) error {
	cursor, text, err := cursorOf(r)
	return b.watch(stream.Context(), &call{stream: name, cursor: text}, func(c *call) error {
		if err != nil {
			return err
		}
		l := b.log(name)
		stop, release := l.hold()
		defer release()
		now := l.now()
		if fail := now.def.GetRefuse(); fail != nil {
			return failure(fail)
		}
		next, snapshot, err := now.start(cursor)
		if err != nil {
			return err
		}
		reader := &logReader{backend: b, log: l, call: c, stream: stream, stop: stop}
		for _, n := range slices.Sorted(maps.Values(snapshot)) {
			reader.prev = now.links.hash(n - 1)
			if err := reader.send(now, n); err != nil {
				return err
			}
		}
		reader.prev = now.links.hash(next - 1)
		return reader.follow(next)
	})
}

// logReader is one call that reads a log.
type logReader struct {
	backend *Backend
	log     *log
	call    *call
	stream  broadcast
	stop    *interrupt
	prev    string // the hash of the event before the next
}

// follow sends event next and all that come after it.
func (r *logReader) follow(next uint64) error {
	for {
		now := r.log.now()
		for ; next <= now.head; next++ {
			if err := r.send(now, next); err != nil {
				return err
			}
		}
		if now.over(next) {
			if end := now.def.GetEnd(); end != nil {
				return failure(end)
			}
			return nil
		}
		if err := r.wait(now); err != nil {
			return err
		}
	}
}

func (r *logReader) send(now moment, n uint64) error {
	select {
	case <-r.stop.at:
		return r.interrupted()
	default:
	}
	e := now.links.event(now.def, n, r.prev)
	r.prev = e.GetHash()
	if err := r.stream.Send(e); err != nil {
		return err
	}
	r.call.sent.Add(1)
	r.backend.notify()
	return nil
}

// wait returns when there may be more.
func (r *logReader) wait(now moment) error {
	var due <-chan time.Time
	if !now.due.IsZero() {
		t := time.NewTimer(time.Until(now.due))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-due:
	case <-now.changed:
	case <-r.stop.at:
		return r.interrupted()
	case <-r.stream.Context().Done():
		return ended(r.stream.Context())
	}
	return nil
}

func (r *logReader) interrupted() error {
	if r.stop.fail == nil {
		return drop(r.stream.Context())
	}
	return failure(r.stop.fail)
}

// WatchPublic shows a log under the options that the proto says, as all methods with this signature do.
func (b *Backend) WatchPublic(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchEarliest shows a log.
func (b *Backend) WatchEarliest(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchKeyed shows a log.
func (b *Backend) WatchKeyed(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchTokens shows a log.
func (b *Backend) WatchTokens(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchInclusive shows a log.
func (b *Backend) WatchInclusive(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchInclusiveTokens shows a log.
func (b *Backend) WatchInclusiveTokens(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchShared shows a log.
func (b *Backend) WatchShared(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchOwn shows a log.
func (b *Backend) WatchOwn(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchPlain shows a log.
func (b *Backend) WatchPlain(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, r.GetStream(), stream)
}

// WatchPrincipal shows the log of the principal whose `authorization` the call carries.
func (b *Backend) WatchPrincipal(r *scriptv1.BroadcastRequest, stream broadcast) error {
	return b.show(r, PrincipalLog(r.GetStream(), received(stream.Context())["authorization"]), stream)
}

// PrincipalLog is the name of the log that WatchPrincipal shows to who sends this `authorization`.
func PrincipalLog(stream, authorization string) string { return stream + "/" + authorization }

// logService is LogService on a Backend, whose own methods have the same names and are for tests in its process.
type logService struct {
	scriptv1.UnimplementedLogServiceServer
	b *Backend
}

// DefineLog is [Backend.DefineLog] for a test in another process.
func (s logService) DefineLog(_ context.Context, r *scriptv1.DefineLogRequest) (*scriptv1.DefineLogResponse, error) {
	if err := s.b.DefineLog(r.GetLog()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &scriptv1.DefineLogResponse{}, nil
}

// AppendEvents is [Backend.Append] for a test in another process.
func (s logService) AppendEvents(_ context.Context, r *scriptv1.AppendEventsRequest) (*scriptv1.AppendEventsResponse, error) {
	return &scriptv1.AppendEventsResponse{Head: s.b.Append(r.GetStream(), r.GetCount())}, nil
}

// GetLog is [Backend.Bounds] and [Backend.State] for a test in another process.
func (s logService) GetLog(_ context.Context, r *scriptv1.GetLogRequest) (*scriptv1.GetLogResponse, error) {
	m := s.b.log(r.GetStream()).now()
	return &scriptv1.GetLogResponse{Oldest: m.oldest, Head: m.head, State: newest(m.def, m.head)}, nil
}

// InterruptCalls is [Backend.Interrupt] for a test in another process.
func (s logService) InterruptCalls(_ context.Context, r *scriptv1.InterruptCallsRequest) (*scriptv1.InterruptCallsResponse, error) {
	return &scriptv1.InterruptCallsResponse{Calls: s.b.Interrupt(r.GetStream(), r.GetFail())}, nil
}
