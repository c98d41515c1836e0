package edge

import (
	"log/slog"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/feed"
)

// reader is who a stream is sent to: a place, and a subscription. Both end with the response, which may be long after the
// request's handler has returned; so nothing of the request is kept.
type reader struct {
	*access.Lease
	subscription *feed.Subscription // nil: there is none yet
	method       protoreflect.FullName
	logger       *slog.Logger
	served       bool // Ended is called
}

// Ended gives back what the reader has.
func (r *reader) Ended(err error) {
	if r.subscription != nil {
		r.subscription.Close()
	}
	r.Release()
	if err != nil {
		r.logger.Debug("connection ended", "method", r.method, "cause", err)
	}
}

// returned gives it back where it has come to no stream.
func (r *reader) returned() {
	if !r.served {
		r.Ended(nil)
	}
}
