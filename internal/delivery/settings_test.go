package delivery_test

import (
	"net/http"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// settings are what a test serves a response with.
type settings struct {
	delivery.Config
	delivery.Options

	// Kicked, when closed, kicks the response.
	Kicked <-chan struct{}
	// Progress, if set, is called after each write of events.
	Progress func()
	// goroutines has each connection in memory served by one; else shards do.
	goroutines bool
	// hijack has net/http give connections up, which must be asked where nothing else is known of them.
	hijack bool
	// size is how many bytes a connection in memory holds; 0 is the default.
	size int
}

// serve serves one response with a server of its own, to its end.
func (o settings) serve(w http.ResponseWriter, r *http.Request, src delivery.Source) error {
	d := delivery.New(o.Config)
	defer d.Shutdown(0)
	owner := &owner{settings: o, ended: make(chan error, 1)}
	o.Owner = owner
	d.Serve(w, r, src, o.Options)
	return <-owner.ended
}

type owner struct {
	settings
	ended chan error
}

func (o *owner) OnKick(k delivery.Kickable) {
	if o.Kicked == nil {
		return
	}
	select {
	case <-o.Kicked: // it was before
		k.Kick()
	default:
		go func() {
			<-o.Kicked
			k.Kick()
		}()
	}
}

func (o *owner) Progress() {
	if o.settings.Progress != nil {
		o.settings.Progress()
	}
}

// Ended blocks for ever where it is called twice.
func (o *owner) Ended(err error) { o.ended <- err }
