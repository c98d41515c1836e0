// Package view makes what one reader sees of a stream out of the stream's finished frames, which are the same for every
// reader: the form it asked for (typed frames, plain frames, lines of JSON), only the types and fields it asked for, and
// bookmarks, so that its cursor does not age while events are hidden from it.
//
//	stream (typed SSE frames) ──▶ filter ──▶ mask ──▶ field ──▶ form ──▶ delivery
//
// A view decodes nothing: it cuts frames and JSON apart and puts parts of them together again.
package view

import (
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// Stream is what a view is laid over: one reader's place in a stream of typed SSE frames. It is for one goroutine.
type Stream interface {
	// Opening appends the first frames of the response: stream.open, and what must follow it in the same write.
	Opening(dst []byte, retry time.Duration) []byte
	// Next returns the next finished frames back to back, nothing where there is nothing yet, io.EOF at the end.
	Next(limit int) ([]byte, error)
	// Written says that what Next returned last has been written, or shall not be.
	Written()
