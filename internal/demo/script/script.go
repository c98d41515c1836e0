// Package script is a gRPC backend that does what a test tells it to: it plays scripts, streams hash-chained events,
// keeps logs that many calls can read from any cursor, and remembers what happened to every call.
//
// A test in the same process uses a [Backend] directly; one in another process starts the program scriptd and talks to
// its ControlService and LogService.
package script

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// maxCalls is how many calls a Backend remembers; the oldest are forgotten first.
const maxCalls = 100_000

// Backend holds scripts, gates, logs and what is known of the calls so far. It is safe for concurrent use, and outlives
// its servers: one that is stopped and one that takes its place show the same.
type Backend struct {
	scriptv1.UnimplementedScriptServiceServer
	scriptv1.UnimplementedControlServiceServer
	scriptv1.UnimplementedBroadcastServiceServer
	scriptv1.UnimplementedPrincipalServiceServer
	scriptv1.UnimplementedShapeServiceServer

	// Principals makes servers offer PrincipalService. Default false, because a bridge without principals refuses to
	// serve it. It is read by NewServer.
	Principals bool

	mu      sync.Mutex
	scripts map[string]*scriptv1.Script
	gates   map[string]chan struct{}
	logs    map[string]*log
	calls   []*call
	counts  map[string]uint64 // by full method name

	// waiters is how many Await calls run. Who changes something looks at it first, so that a stream at full speed pays
	// for nobody. A waiter counts itself before it looks at the state, and a change is made before this is read: one of
	// the two always sees the other.
	waiters atomic.Int32
	changed chan struct{} // closed and replaced at each change that somebody waits for; under mu
}

// New returns a Backend without scripts and logs.
func New() *Backend {
	return &Backend{
		scripts: map[string]*scriptv1.Script{},
		gates:   map[string]chan struct{}{},
		logs:    map[string]*log{},
		counts:  map[string]uint64{},
		changed: make(chan struct{}),
	}
}

// Define stores a script under a name, in place of an older one. Calls that play the older one are not affected.
func (b *Backend) Define(name string, steps ...*scriptv1.Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.scripts[name] = &scriptv1.Script{Steps: steps}
}

func (b *Backend) script(name string) (*scriptv1.Script, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.scripts[name]
	return s, ok
}

// Open opens a gate: every call that waits at it, or comes to it later, goes on. A gate cannot be closed again.
func (b *Backend) Open(gate string) {
	open := b.gate(gate)
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-open:
	default:
		close(open)
	}
}

func (b *Backend) gate(name string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, ok := b.gates[name]
	if !ok {
		g = make(chan struct{})
		b.gates[name] = g
	}
	return g
}

// call is what a Backend knows of one call. Its mutable parts are atomic, so that sending takes no lock.
type call struct {
	script, stream string
	cursor         string
	method         string
	metadata       map[string]string
	sent           atomic.Uint64
	end            atomic.Pointer[ending] // nil while the call runs
}

type ending struct {
	code      uint32
	cancelled bool
}

func (c *call) message() *scriptv1.Call {
	m := &scriptv1.Call{
		Script: c.script, Stream: c.stream, Cursor: c.cursor, Method: c.method,
		Metadata: maps.Clone(c.metadata), Sent: c.sent.Load(),
	}
	if e := c.end.Load(); e != nil {
		m.Ended, m.Code, m.Cancelled = true, e.code, e.cancelled
	}
	return m
}

func (b *Backend) begin(c *call) {
	b.mu.Lock()
	if len(b.calls) >= maxCalls {
		b.calls = slices.Delete(b.calls, 0, maxCalls/10)
	}
	b.calls = append(b.calls, c)
	b.mu.Unlock()
	b.notify()
}

// Count returns how often a method was called since the Backend was made, unary ones included. The name is the full one:
// demo.script.v1.BroadcastService.WatchPublic.
func (b *Backend) Count(method string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts[method]
}

// Calls returns what is known of the streaming calls with this name, oldest first; of all of them for "".
func (b *Backend) Calls(stream string) []*scriptv1.Call {
	b.mu.Lock()
	calls := slices.Clone(b.calls)
	b.mu.Unlock()
	var found []*scriptv1.Call
	for _, c := range calls {
		if stream == "" || c.stream == stream {
			found = append(found, c.message())
		}
	}
	return found
}

// clone keeps a script that was registered over the wire apart from the request's memory.
func clone(s *scriptv1.Script) []*scriptv1.Step {
	return proto.CloneOf(s).GetSteps()
}
