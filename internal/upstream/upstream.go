// Package upstream calls one gRPC backend: it dials it, spreads calls over a pool of connections, yields a call's
// messages as raw bytes, and opens a lost call again where that is allowed.
//
// It owns every retry. grpc-go's own are switched off: they know neither what a call may repeat nor who waits for it.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// DefaultMaxConnections is how far a pool grows where Options.MaxConnections does not say.
const DefaultMaxConnections = 64

// Options describes a backend.
type Options struct {
	// Name is the backend's name in logs and errors. Default: the target.
	Name string

	// Target is where it is: HOST:PORT or any gRPC target (dns:///prices:9090, unix:///run/prices.sock). Required. Every
	// address that it resolves to is used in turn. It is dialled directly, never through HTTPS_PROXY.
	Target string

	// TLS is how to speak TLS to it. Default nil: plaintext.
	TLS *tls.Config

	// Metadata is added to every call. It replaces what a call brings under the same name.
	Metadata metadata.MD

	// MaxConnections bounds the pool. Default [DefaultMaxConnections].
	MaxConnections int

	// Changed is called after every new connection and after every UNIMPLEMENTED: the backend may now be another build
	// with another schema. Calls are made one at a time from a goroutine of its own; those that come up meanwhile become
	// one. It may use the Upstream. Default nil.
	Changed func()

	// DialOptions come after the package's own and win over them. Tests dial in memory with them.
	DialOptions []grpc.DialOption

	// Logger. Default: none.
	Logger *slog.Logger
}

// errClosed is the cause of outcomes after Close.
var errClosed = errors.New("upstream: closed")

// Upstream is one backend. It is safe for concurrent use.
//
// It protects the backend from its own calls when many are lost together:
//
//   - Lost calls come back as fast as the backend answers them; while it fails them, at most 200 and then 20 a second.
//   - When 10 openings of a method in a row have broken without an answer, its calls wait. One at a time is tried, 1 s
//     later and then up to every 10 s, and at once when a connection comes up; the first answer lets the others go, spread
//     over a second and a millisecond more for each. Unary calls do not wait: they end with UNAVAILABLE.
//   - The first try of a call never waits for anything else. While there is no connection at all nothing is counted:
//     calls then fail here, without reaching the backend.
type Upstream struct {
	name     string
	metadata metadata.MD
	pool     *pool
	log      *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// Buffer of 1: what signals a change never waits, and a signal that comes while Changed runs is not lost.
	changed chan struct{}

	waiting atomic.Int64 // calls that pause before another try
	budget  *budget

	mu    sync.Mutex
	gates map[string]*gate // by method
}

// New returns an Upstream and begins to connect in the background. It never waits for the network. The error is about
// the target only.
func New(o Options) (*Upstream, error) {
	if o.Target == "" {
		return nil, errors.New("upstream: the target is empty: give HOST:PORT or a gRPC target such as dns:///prices:9090")
	}
	if o.Name == "" {
		o.Name = o.Target
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	u := &Upstream{
		name:     o.Name,
		metadata: lowerKeys(o.Metadata),
		log:      o.Logger.With("upstream", o.Name),
		changed:  make(chan struct{}, 1),
		budget:   newBudget(),
		gates:    make(map[string]*gate),
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.pool = &pool{u: u, target: o.Target, options: dialOptions(o), max: o.MaxConnections, becameReady: make(chan struct{})}
	if err := u.pool.start(); err != nil {
		u.cancel()
		return nil, fmt.Errorf("upstream %s: target %q: %w", o.Name, o.Target, err)
	}
	if o.Changed != nil {
		u.wg.Go(func() { u.tellChanges(o.Changed) })
	}
	return u, nil
}

// Name returns the backend's name.
func (u *Upstream) Name() string { return u.name }

// Close ends every call and connection and waits until the Upstream's goroutines are gone. Calls that are being read
// end with UNAVAILABLE. It does not wait for their readers.
func (u *Upstream) Close() error {
	u.cancel()
	err := u.pool.close()
	u.wg.Wait()
	return err
}

// noteChange makes the goroutine of tellChanges call Changed soon.
func (u *Upstream) noteChange() {
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

func (u *Upstream) tellChanges(changed func()) {
	for {
		select {
		case <-u.changed:
			changed()
		case <-u.ctx.Done():
			return
		}
	}
}

// outgoing returns ctx with md and the bridge's own metadata over it as the call's metadata.
func (u *Upstream) outgoing(ctx context.Context, md metadata.MD) context.Context {
	out := make(metadata.MD, len(md)+len(u.metadata))
	maps.Copy(out, lowerKeys(md))
	maps.Copy(out, u.metadata)
	return metadata.NewOutgoingContext(ctx, out)
}

// lowerKeys returns a copy of md whose keys are lower case, as HTTP/2 needs them.
func lowerKeys(md metadata.MD) metadata.MD {
	out := make(metadata.MD, len(md))
	for k, v := range md {
		k = strings.ToLower(k)
		out[k] = append(out[k], v...)
	}
	return out
}

// Conn returns the backend as an ordinary gRPC connection, for reflection and health checks. Its calls go through the
// same pool, carry the bridge's own metadata, are never repeated, and do not count as a change when they end with
// UNIMPLEMENTED (probing for a service ends so).
func (u *Upstream) Conn() grpc.ClientConnInterface { return conn{u} }

type conn struct{ u *Upstream }

// Invoke makes a unary call.
func (c conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	s, err := c.open(ctx, &grpc.StreamDesc{}, method, opts)
	if err != nil {
		return err
	}
	defer s.cancel(nil)
	if err := s.SendMsg(args); err != nil {
		return err
	}
	return s.RecvMsg(reply)
}

// NewStream opens a streaming call. The rules of [grpc.ClientConn.NewStream] for letting go of it hold.
func (c conn) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s, err := c.open(ctx, desc, method, opts)
	if err != nil {
		return nil, err
	}
	return s.ClientStream, nil
}

func (c conn) open(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption,
) (*rpc, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	s, err := c.u.pool.open(c.u.outgoing(ctx, md), desc, method, opts)
	if errors.Is(err, ErrPoolFull) {
		return nil, poolFull().Err()
	}
	return s, err
}

// poolFull is the outcome of a call for which no connection has room.
func poolFull() outcome.Outcome {
	// UNAVAILABLE rather than RESOURCE_EXHAUSTED: it says nothing about the call, and passes.
	o := outcome.New(unavailable, "the backend has no room for another call now: try again later")
	o.Class, o.Cause = outcome.Busy, ErrPoolFull
	return o
}
