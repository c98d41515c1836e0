package upstream

import (
	"fmt"
	"time"

	"google.golang.org/grpc/mem"
)

// codec moves messages as bytes. It is given to each call and never registered, because it goes by the name of the
// codec that the rest of the process uses.
type codec struct{}

// Name makes the content type application/grpc+proto: to the backend the bytes are ordinary protobuf.
func (codec) Name() string { return "proto" }

// Marshal takes a []byte, which must not change until the call has ended.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("upstream: cannot send a %T, only bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal fills a *frame. The message stays in grpc-go's own buffer where it lies in one piece.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("upstream: cannot receive into a %T, only a frame", v)
	}
	f.free()
	f.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}

// frame is one received message. The zero value is ready for use.
type frame struct {
	buffer   mem.Buffer
	received time.Time // when it was, as grpc-go's events have it
}

// data is the message, valid until free.
func (f *frame) data() []byte {
	if f.buffer == nil {
		return nil
	}
	return f.buffer.ReadOnlyData()
}

// free gives the buffer back. It may be called more than once.
func (f *frame) free() {
	if f.buffer != nil {
		f.buffer.Free()
		f.buffer = nil
	}
}
