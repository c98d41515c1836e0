package upstream

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
)

// joining makes connections on which grpc-go finds the messages of a stream that have come together in one DATA frame.
//
// A gRPC server sends a frame for each message, and grpc-go takes each through a lock, a queue and a channel: that is
// most of what a small message costs. Where one frame ends means nothing (RFC 9113, section 6.1), so frames of one stream
// that follow each other and are there already are handed on as one. Nothing is waited for, and every other byte is as
// the server sent it.
type joining struct {
	credentials.TransportCredentials
}

// ClientHandshake is grpc-go's for a new connection. What is read from it is joined behind TLS.
func (c joining) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		return nil, nil, err
	}
	return &joined{Conn: conn, buf: make([]byte, joinBuffer)}, info, nil
}

// Clone is grpc-go's.
func (c joining) Clone() credentials.TransportCredentials {
	return joining{c.TransportCredentials.Clone()}
}

const (
	// joinBuffer is how many bytes are read at once: what grpc-go buffers where it does.
	joinBuffer = 32 << 10
	// frameHeader is the length of a frame's header: length (3 bytes), type, flags, stream (4 bytes).
	frameHeader = 9
	// maxFrame is the largest frame that a client must take, and the largest that grpc-go does.
	maxFrame = 16 << 10
)

// joined is a connection that a client of HTTP/2 reads. It is read by one goroutine.
//
//	buf  ......|header|payload|header|payload|header|payl........
//	           r      └ left ┘       └ more: 1 ┘            w
type joined struct {
	net.Conn
	buf  []byte
	r, w int // what is in buf is between them
	left int // how much is handed on as it is, of a frame that may not be all there
	more int // how many frames behind that are handed on as its continuation, without their headers
}

// Read hands on what is there of one frame, and waits only where nothing is.
func (j *joined) Read(p []byte) (n int, err error) {
	for n < len(p) {
		switch {
		case j.left == 0 && j.more > 0:
			j.more--
			j.left = j.length(j.r)
			j.r += frameHeader
		case n > 0 && (j.left == 0 || j.r == j.w):
			return n, nil
		case j.left == 0:
			err = j.begin()
		case j.r == j.w:
			err = j.fill()
		}
		if err != nil {
			return 0, err
		}
		k := copy(p[n:], j.buf[j.r:min(j.r+j.left, j.w)])
		n, j.r, j.left = n+k, j.r+k, j.left-k
	}
	return n, nil
}

// begin finds the next frame, and those that continue it.
func (j *joined) begin() error {
	for j.w-j.r < frameHeader {
		if err := j.fill(); err != nil {
			if j.left = j.w - j.r; j.left == 0 {
				return err
			}
			return nil
		}
	}
	first := j.r
	total := j.length(first)
	j.left = frameHeader + total
	if !j.isData(first) {
		return nil
	}
	for next := first + j.left; j.w-next >= frameHeader && j.isData(next) && j.stream(next) == j.stream(first); {
		length := j.length(next)
		if total+length > maxFrame || j.w-next-frameHeader < length {
			break
		}
		total += length
		j.more++
		next += frameHeader + length
	}
	j.buf[first], j.buf[first+1], j.buf[first+2] = byte(total>>16), byte(total>>8), byte(total)
	return nil
}

// fill reads more behind what is left, which is nothing or a part of a frame's header.
func (j *joined) fill() error {
	j.w = copy(j.buf, j.buf[j.r:j.w])
	j.r = 0
	n, err := j.Conn.Read(j.buf[j.w:])
	j.w += n
	if n > 0 {
		return nil // the connection says an error again
	}
	return err
}

// length is that of the payload of the frame at i.
func (j *joined) length(i int) int {
	return int(j.buf[i])<<16 | int(j.buf[i+1])<<8 | int(j.buf[i+2])
}

// isData reports whether the frame at i is one of data that has no flags: no padding, and not the last of its stream.
func (j *joined) isData(i int) bool { return j.buf[i+3] == 0 && j.buf[i+4] == 0 }

func (j *joined) stream(i int) [4]byte { return [4]byte(j.buf[i+5 : i+9]) }
