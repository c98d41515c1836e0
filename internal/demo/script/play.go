package script

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// maxSize is the largest text or payload of one event, in bytes.
const maxSize = 64 << 20

// Play runs the script that the request names.
func (b *Backend) Play(r *scriptv1.PlayRequest, stream grpc.ServerStreamingServer[scriptv1.PlayResponse]) error {
	return b.watch(stream.Context(), &call{script: r.GetScript(), stream: r.GetStream()}, func(c *call) error {
		s, ok := b.script(r.GetScript())
		if !ok {
			return status.Errorf(codes.NotFound, "there is no script %q: define it first", r.GetScript())
		}
		p := &player{backend: b, call: c, request: r, stream: stream, next: max(r.GetFrom(), 1)}
		for _, step := range s.GetSteps() {
			if done, err := p.step(step); done || err != nil {
				return err
			}
		}
		return nil
	})
}

// watch runs a call and keeps what becomes of it.
func (b *Backend) watch(ctx context.Context, c *call, run func(*call) error) (err error) {
	method, _ := grpc.Method(ctx)
	c.method, c.metadata = fullName(method), received(ctx)
	b.begin(c)
	defer func() {
		if p := recover(); p != nil {
			err = status.Error(codes.Internal, "the handler panicked")
		}
		c.end.Store(&ending{code: uint32(status.Code(err)), cancelled: err != nil && ctx.Err() != nil})
		b.notify()
	}()
	return run(c)
}

// fullName is the name of a method as descriptors have it, not as paths do.
func fullName(path string) string {
	return strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".")
}

func received(ctx context.Context) map[string]string {
	values := map[string]string{}
	md, _ := metadata.FromIncomingContext(ctx)
	for k, v := range md {
		values[k] = strings.Join(v, ", ")
	}
	return values
}

// player is one run of a script.
type player struct {
	backend *Backend
	call    *call
	request *scriptv1.PlayRequest
	stream  grpc.ServerStreamingServer[scriptv1.PlayResponse]
	next    uint64 // the number of the next event
}

func (p *player) step(step *scriptv1.Step) (done bool, err error) {
	switch s := step.GetStep().(type) {
	case *scriptv1.Step_Headers:
		return false, p.stream.SendHeader(metadata.New(s.Headers.GetValues()))
	case *scriptv1.Step_Event:
		return false, p.event(s.Event)
	case *scriptv1.Step_Burst:
		return false, p.burst(s.Burst)
	case *scriptv1.Step_Wait:
		return false, pause(p.stream.Context(), s.Wait.AsDuration())
	case *scriptv1.Step_Gate:
		select {
		case <-p.backend.gate(s.Gate):
			return false, nil
		case <-p.stream.Context().Done():
			return false, ended(p.stream.Context())
		}
	case *scriptv1.Step_Fail:
		return true, failure(s.Fail)
	case *scriptv1.Step_Panic:
		panic(s.Panic)
	case *scriptv1.Step_End:
		return true, nil
	case *scriptv1.Step_Drop:
		return true, drop(p.stream.Context())
	case *scriptv1.Step_Raw:
		// Bytes of no known field are written as they are: this is how a message gets on the wire that no encoder makes.
		m := &scriptv1.PlayResponse{}
		m.ProtoReflect().SetUnknown(s.Raw)
		return false, p.send(m)
	case *scriptv1.Step_Any:
		return false, p.send(p.number(&scriptv1.PlayResponse{Event: &scriptv1.PlayResponse_Any{Any: s.Any}}))
	}
	return true, status.Error(codes.InvalidArgument, "the script has an empty step")
}

func (p *player) event(e *scriptv1.Event) error {
	size := e.GetSize()
	if size == 0 {
		size = p.request.GetSize()
	}
	if size > maxSize {
		return status.Errorf(codes.InvalidArgument, "size is %d: at most %d bytes", size, maxSize)
	}
	text := e.GetText()
	if text == "" {
		text = fmt.Sprintf("event %d", p.next)
	}
	body := &scriptv1.Body{Text: fill(text, int(size))}
	m := p.number(&scriptv1.PlayResponse{})
	switch e.GetKind() {
	case scriptv1.Kind_KIND_MESSAGE:
		m.Event = &scriptv1.PlayResponse_Message{Message: body}
	case scriptv1.Kind_KIND_ERROR:
		m.Event = &scriptv1.PlayResponse_Error{Error: body}
	case scriptv1.Kind_KIND_OPEN:
		m.Event = &scriptv1.PlayResponse_Open{Open: body}
	case scriptv1.Kind_KIND_NONE:
	default:
		m.Event = &scriptv1.PlayResponse_Note{Note: body}
	}
	return p.send(m)
}

func (p *player) burst(b *scriptv1.Burst) error {
	count := b.GetCount()
	if count == 0 {
		count = p.request.GetCount()
	}
	for i := uint32(0); count == 0 || i < count; i++ {
		if err := p.event(b.GetEvent()); err != nil {
			return err
		}
		if err := pause(p.stream.Context(), b.GetEvery().AsDuration()); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) number(m *scriptv1.PlayResponse) *scriptv1.PlayResponse {
	m.N, m.Stream = p.next, p.request.GetStream()
	p.next++
	return m
}

func (p *player) send(m *scriptv1.PlayResponse) error {
	if err := p.stream.Send(m); err != nil {
		return err
	}
	p.call.sent.Add(1)
	p.backend.notify()
	return nil
}

// fill makes text size bytes long, if it is shorter.
func fill(text string, size int) string {
	const filler = "abcdefghijklmnopqrstuvwxyz0123456789"
	missing := size - len(text)
	if missing <= 0 {
		return text
	}
	return text + strings.Repeat(filler, missing/len(filler)+1)[:missing]
}

// pause waits for d, and for no time at all when d is 0 or less.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

func ended(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() }

func failure(f *scriptv1.Fail) error {
	return status.FromProto(&spb.Status{
		Code:    int32(f.GetCode()),
		Message: f.GetMessage(),
		Details: f.GetDetails(),
	}).Err()
}

// drop cuts the connection that the call came on; a TCP connection is reset.
func drop(ctx context.Context) error {
	p, _ := peer.FromContext(ctx)
	info, ok := p.AuthInfo.(connInfo)
	if !ok {
		return status.Error(codes.FailedPrecondition, "drop works only on a server made by Backend.NewServer")
	}
	if tcp, ok := info.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the peer would see an orderly end
	}
	if err := info.conn.Close(); err != nil {
		return status.Errorf(codes.Internal, "the connection could not be cut: %v", err)
	}
	<-ctx.Done() // returning earlier could still send trailers
	return ended(ctx)
}
