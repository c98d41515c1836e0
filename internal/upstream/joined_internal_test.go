package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// arriving is a connection whose bytes come in pieces, and then an end. It panics where anybody waits for more than the
// pieces that have come: there is always one, or the end.
type arriving struct {
	net.Conn
	pieces [][]byte
	end    error
}

func (a *arriving) Read(p []byte) (int, error) {
	if len(a.pieces) == 0 {
		if a.end == nil {
			panic("waits for more")
		}
		return 0, a.end
	}
	n := copy(p, a.pieces[0])
	if a.pieces[0] = a.pieces[0][n:]; len(a.pieces[0]) == 0 {
		a.pieces = a.pieces[1:]
	}
	return n, nil
}

// frames are what a server sends.
type frames struct{ bytes.Buffer }

func (f *frames) frame(kind http2.FrameType, flags http2.Flags, stream uint32, payload string) *frames {
	size := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	f.Write(append(size[1:], byte(kind), byte(flags)))
	f.Write(binary.BigEndian.AppendUint32(nil, stream))
	f.WriteString(payload)
	return f
}

func (f *frames) data(stream uint32, payload string) *frames {
	return f.frame(http2.FrameData, 0, stream, payload)
}

// told is what bytes say, in words: what is data without flags is one thing as long as it is of one stream. In a string
// that is cut off, what there is.
func told(b []byte) string {
	var out strings.Builder
	var open string // the stream whose data came last
	for len(b) >= frameHeader {
		length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		head, payload := b[3:frameHeader], b[frameHeader:min(len(b), frameHeader+length)]
		switch of := string(head); {
		case of[:2] != "\x00\x00":
			fmt.Fprintf(&out, "\n%x %d %x", head, length, payload)
			open = ""
		case of == open:
			fmt.Fprintf(&out, "%x", payload)
		default:
			fmt.Fprintf(&out, "\ndata of %x %x", of, payload)
			open = of
		}
		if len(payload) < length {
			fmt.Fprintf(&out, " lacks some")
		}
		b = b[frameHeader+len(payload):]
	}
	fmt.Fprintf(&out, "\nrest %x", b)
	return out.String()
}

// sizes are the payloads' of b's frames.
func sizes(b []byte) (all []int) {
	for len(b) >= frameHeader {
		length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		all = append(all, length)
		b = b[min(len(b), frameHeader+length):]
	}
	return all
}

// read reads everything in pieces of at most size bytes.
func read(t testing.TB, a *arriving, size func() int) []byte {
	t.Helper()
	j := &joined{Conn: a, buf: make([]byte, joinBuffer)}
	var all []byte
	for {
		p := make([]byte, size())
		n, err := j.Read(p)
		all = append(all, p[:n]...)
		if n == 0 && err == nil && len(p) > 0 {
			t.Fatal("Read returns nothing")
		}
		if err != nil {
			if !errors.Is(err, a.end) || n != 0 {
				t.Fatalf("Read = %d, %v", n, err)
			}
			return all
		}
	}
}

func always(size int) func() int { return func() int { return size } }

// FuzzJoined: whatever bytes come, in whatever pieces, and however they are read, they say the same.
func FuzzJoined(f *testing.F) {
	many := &frames{}
	for i := range 40 {
		many.data(1, strings.Repeat("m", i*i))
	}
	f.Add(many.Bytes(), uint64(1))
	mixed := (&frames{}).frame(http2.FrameSettings, 0, 0, "").data(1, "a").data(1, "b").data(3, "c").data(1, "d").
		frame(http2.FrameData, http2.FlagDataPadded, 1, "\x01e\x00").data(1, "").data(1, "").data(1, "f").
		frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 3, "h").data(1, "g").frame(http2.FrameData, http2.FlagDataEndStream, 1, "i")
	f.Add(mixed.Bytes(), uint64(2))
	f.Add((&frames{}).data(1, "a").data(1, "").Bytes()[:15], uint64(5)) // a part of a header
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), uint64(3))
	f.Add([]byte("\x00\x00\x05\x00\x00\x00\x00\x00\x01abcde\x00\x00\x05\x00\x00\x00\x00\x00\x01ab"), uint64(4))
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		a := &arriving{end: io.ErrUnexpectedEOF}
		for rest := sent; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 1+random.IntN(40_000)))
			a.pieces = append(a.pieces, rest[:n])
			rest = rest[n:]
		}
		got := read(t, a, func() int { return random.IntN(1 + random.IntN(20_000)) })
		if told(got) != told(sent) {
			t.Fatalf("sent %x, read %x", sent, got)
		}
		had := map[int]bool{}
		for _, size := range sizes(sent) {
			had[size] = true
		}
		for _, size := range sizes(got) {
			if size > maxFrame && !had[size] {
				t.Errorf("frames were joined to one of %d bytes", size)
			}
		}
	})
}

func TestWhatIsJoined(t *testing.T) {
	full := strings.Repeat("x", 1000)
	// Three frames, and three bytes of room behind them.
	filling := repeat(&frames{}, 2, strings.Repeat("x", 16_000))
	filling.data(1, strings.Repeat("x", joinBuffer-filling.Len()-frameHeader-3))
	for name, c := range map[string]struct {
		sent *frames
		want []int // sizes of the frames that are read
	}{
		"messages that came together":   {(&frames{}).data(1, "ab").data(1, "cde").data(1, "").data(1, "f"), []int{6}},
		"up to the largest frame":       {repeat(&frames{}, 20, full), []int{16_000, 4_000}},
		"exactly the largest":           {(&frames{}).data(1, strings.Repeat("x", maxFrame-1)).data(1, "x").data(1, "y"), []int{maxFrame, 1}},
		"not those of two streams":      {(&frames{}).data(1, "a").data(3, "b").data(1, "c").data(1, "d"), []int{1, 1, 2}},
		"not the end of a stream":       {(&frames{}).data(1, "a").data(1, "b").frame(http2.FrameData, http2.FlagDataEndStream, 1, "c"), []int{2, 1}},
		"not what is padded":            {(&frames{}).data(1, "a").frame(http2.FrameData, http2.FlagDataPadded, 1, "\x00b").data(1, "c"), []int{1, 2, 1}},
		"not across a frame of another": {(&frames{}).data(1, "a").frame(http2.FramePing, 0, 0, "12345678").data(1, "b"), []int{1, 8, 1}},
		"not what has not come":         {(&frames{}).data(1, "a").data(1, "b").data(1, "cut off"), []int{2, 7}},
		"not what is not in the buffer": {filling.data(1, "more"), []int{16_000, 16_000, 738, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			sent := c.sent.Bytes()
			if strings.Contains(string(sent), "cut off") {
				sent = sent[:len(sent)-1]
			}
			for _, size := range []int{1, 9, 100, 1 << 20} {
				got := read(t, &arriving{pieces: [][]byte{sent}, end: io.EOF}, always(size))
				if told(got) != told(sent) {
					t.Fatalf("sent %q, read %q", sent, got)
				}
				if fmt.Sprint(sizes(got)) != fmt.Sprint(c.want) {
					t.Errorf("read in pieces of %d the frames have %v bytes, want %v", size, sizes(got), c.want)
				}
			}
		})
	}
}

func repeat(f *frames, n int, payload string) *frames {
	for range n {
		f.data(1, payload)
	}
	return f
}

// TestNothingIsWaitedFor has all but the end of a frame come: everything that came can be read.
func TestNothingIsWaitedFor(t *testing.T) {
	sent := (&frames{}).data(1, "a").data(1, "b").data(1, "of which some is missing").Bytes()
	came := sent[:len(sent)-5]
	j := &joined{Conn: &arriving{pieces: [][]byte{came}}, buf: make([]byte, joinBuffer)}
	var got []byte
	for told(got) != told(came) {
		p := make([]byte, 7)
		n, err := j.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
	}
}

// TestFrameBuffers: joined frames of any size leave less than half of their buffers empty.
func TestFrameBuffers(t *testing.T) {
	for size := 1 << 10; size <= maxFrame; size += 77 {
		if b := frameBuffers.Get(size); len(*b) != size || cap(*b) >= 2*size {
			t.Fatalf("%d bytes are read into a buffer of %d", size, cap(*b))
		}
	}
}

// TestJoinedBehindTLS: the credentials hand over connections whose plain text is joined, with and without TLS.
func TestJoinedBehindTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	for name, c := range map[string]struct {
		client credentials.TransportCredentials
		server func(net.Conn) net.Conn
	}{
		"plaintext": {insecure.NewCredentials(), func(c net.Conn) net.Conn { return c }},
		"TLS": {
			credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}),
			func(c net.Conn) net.Conn {
				return tls.Server(c, &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			sent := (&frames{}).data(1, "ab").data(1, "cde").Bytes()
			done := make(chan error)
			go func() {
				server := c.server(far)
				_, err := server.Write(sent)
				done <- errors.Join(err, server.Close())
			}()
			conn, _, err := joining{c.client}.Clone().ClientHandshake(context.Background(), "backend", near)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(sizes(got)) != "[5]" {
				t.Errorf("read %q", got)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
