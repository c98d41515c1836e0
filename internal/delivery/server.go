package delivery

import (
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how connections are kept.
type Config struct {
	// Heartbeat is the pause before a beat is sent on a quiet connection; it is varied by 20 %.
	Heartbeat time.Duration
	// WriteTimeout is how long a client may take none of what is being sent before the connection is reset.
	WriteTimeout time.Duration
	// MaxAge is how long a connection lives before it is ended cleanly; it is varied by 20 %.
	MaxAge time.Duration
	// KickReason is the reason that a kicked connection is told, one of stream.busy's.
	KickReason string
	// Shards is how many goroutines serve the connections that were taken over. Default GOMAXPROCS.
	Shards int
	// Logger gets what must not happen. Nil means none.
	Logger *slog.Logger
}

// Server serves responses, and owns the connections that were taken over from net/http.
type Server struct {
	config Config
	born   time.Time
	system system
	crowds crowds // whom goroutines serve

	shards []*shard       // started with the first connection; none is added when closed is set
	work   sync.WaitGroup // the shards' goroutines
	heads  heads
	open   atomic.Int64  // connections that shards hold
	taken  atomic.Uint64 // connections that they ever had

	mu     sync.Mutex // guards shards until there are some; makes hand-overs and Shutdown follow one another
	closed bool
	failed bool          // the shards could not be started once
	idle   chan struct{} // closed when, after Shutdown began, no connection is left
}

// New makes a Server. Shutdown ends it.
func New(c Config) *Server {
	if c.Shards <= 0 {
		c.Shards = runtime.GOMAXPROCS(0)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{config: c, born: time.Now(), system: thisSystem, idle: make(chan struct{})}
}

// Owner is who a response is served for: it has a place, and something to do at the end. Its methods may be called from
// any goroutine, and must not wait.
type Owner interface {
	// OnKick has k.Kick called once when the response must end because its place is needed; at once if that was before.
	OnKick(k Kickable)
	// Progress is called after a write of events, of which it may be told once a second only.
	Progress()
	// Ended is called once, when the response has ended: with nil for a clean end, with an error where the client left,
	// could not be written to, or had to be cut off. OnKick may come after it.
	Ended(err error)
}

// Kickable is a response that can be made to end.
type Kickable = interface{ Kick() }

// Serve sends the response: the head with the headers that w has already, then what src has to say. The request's body
// must have been read. Serve returns when the response has ended, or when the connection has been taken over and goes on
// without the caller's goroutine; only o.Owner learns which. The caller must not use w after it, nor src.
func (d *Server) Serve(w http.ResponseWriter, r *http.Request, src Source, o Options) {
	setHead(w.Header(), o)
	out, err := d.takeOver(w, r, src, o)
	if err != nil {
		o.Owner.Ended(err)
		return
	}
	if out == nil {
		return // a shard has it
	}
	// Nobody else closes a connection that was taken over: so after a panic, too, which aborts the response.
	clean := false
	err = errPanicked
	defer func() {
		defer func() { o.Owner.Ended(err) }()
		out.close(clean)
	}()
	err = newServing(d, out, src, o).run()
	clean = err == nil
}

// Shutdown waits until all connections that were taken over have ended, which is for their sources to say, and resets
// those that are left after grace. From then on connections are no longer taken over.
func (d *Server) Shutdown(grace time.Duration) {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		if d.open.Load() == 0 {
			close(d.idle)
		}
	}
	d.mu.Unlock()
	last := time.AfterFunc(grace, func() {
		for _, s := range d.shards {
			s.resetAll()
		}
	})
	defer last.Stop()
	<-d.idle
	for _, s := range d.shards {
		s.stop()
	}
	d.work.Wait()
}

// TakenOver counts the connections that shards have had.
func (d *Server) TakenOver() uint64 { return d.taken.Load() }

// left takes a connection off the account.
func (d *Server) left() {
	if d.open.Add(-1) != 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed && d.open.Load() == 0 {
		select {
		case <-d.idle:
		default:
			close(d.idle)
		}
	}
}

// join counts a connection in and chooses its shard, the one with the fewest; nil where connections cannot be had.
func (d *Server) join() *shard {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil // nor are there any shards to start: nobody would end them
	}
	d.startLocked()
	if len(d.shards) == 0 {
		return nil
	}
	d.open.Add(1)
	least := d.shards[0]
	for _, s := range d.shards[1:] {
		if s.open.Load() < least.open.Load() {
			least = s
		}
	}
	least.open.Add(1)
	return least
}

// startLocked starts the shards, all or none: where that is not possible the connection is served by a goroutine, and the
// next one's turn is to try again. Where the system has no poller there are never any.
func (d *Server) startLocked() {
	if d.system.newPoller == nil || len(d.shards) != 0 {
		return
	}
	var shards []*shard
	for range d.config.Shards {
		p, err := d.system.newPoller()
		if err != nil {
			for _, s := range shards {
				s.poller.stop()
			}
			if !d.failed {
				d.config.Logger.Error("connections cannot be polled: each is served by a goroutine", "cause", err)
			}
			d.failed = true
			return
		}
		shards = append(shards, newShard(d, p))
	}
	d.shards = shards
	for _, s := range shards {
		d.work.Go(s.run)
		d.work.Go(s.listen)
	}
}

// now is the time since the server was made, which is what connections keep times in.
func (d *Server) now() time.Duration { return time.Since(d.born) }
