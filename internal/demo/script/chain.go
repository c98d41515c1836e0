package script

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// maxFrom is the largest number that a chain may begin with: the links before it are computed, not stored.
const maxFrom = 50_000_000

// Chain streams a hash chain.
func (b *Backend) Chain(r *scriptv1.ChainRequest, stream grpc.ServerStreamingServer[scriptv1.ChainResponse]) error {
	return b.watch(stream.Context(), &call{stream: r.GetStream()}, func(c *call) error {
		if r.GetSize() > maxSize || r.GetFrom() > maxFrom {
			return status.Errorf(codes.InvalidArgument, "size is at most %d, and from at most %d", maxSize, maxFrom)
		}
		first := max(r.GetFrom(), 1)
		prev := Genesis(r.GetStream())
		for n := uint64(1); n < first; n++ {
			prev = Hash(prev, r.GetStream(), n, payload(n, r.GetSize()))
			if n%4096 == 0 && stream.Context().Err() != nil {
				return ended(stream.Context())
			}
		}
		for n := first; r.GetCount() == 0 || n < first+uint64(r.GetCount()); n++ {
			m := &scriptv1.ChainResponse{Stream: r.GetStream(), N: n, Prev: prev, Payload: payload(n, r.GetSize())}
			m.Hash = Hash(prev, m.GetStream(), n, m.GetPayload())
			prev = m.GetHash()
			if err := stream.Send(m); err != nil {
				return err
			}
			c.sent.Add(1)
			b.notify()
			if err := pause(stream.Context(), r.GetEvery().AsDuration()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Genesis is the hash before a chain's first link.
func Genesis(stream string) string { return Hash("", stream, 0, "") }

// Hash is a link's hash: SHA-256 over prev, the chain's name, n and the payload, with a line feed after each of the
// first three, as 64 hexadecimal digits.
func Hash(prev, stream string, n uint64, payload string) string {
	b := make([]byte, 0, 256+len(payload))
	b = append(append(b, prev...), '\n')
	b = append(append(b, stream...), '\n')
	b = append(strconv.AppendUint(b, n, 10), '\n')
	b = append(b, payload...)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Chain checks the links of one chain as they arrive. The zero value accepts any first link.
type Chain struct {
	// Last is the link that came last; nil before the first.
	Last *scriptv1.ChainResponse
	// Checked counts the links that were right.
	Checked uint64
}

// Add takes the next link. The error names what is wrong with it: changed, missing, twice, or out of order.
func (c *Chain) Add(link *scriptv1.ChainResponse) error {
	if want := Hash(link.GetPrev(), link.GetStream(), link.GetN(), link.GetPayload()); link.GetHash() != want {
		return fmt.Errorf("link %d of %q was changed on the way: its hash is %s, not %s",
			link.GetN(), link.GetStream(), want, link.GetHash())
	}
	if last := c.Last; last != nil {
		switch {
		case link.GetStream() != last.GetStream():
			return fmt.Errorf("link %d is of %q, not of %q", link.GetN(), link.GetStream(), last.GetStream())
		case link.GetN() <= last.GetN():
			return fmt.Errorf("link %d of %q came after link %d", link.GetN(), link.GetStream(), last.GetN())
		case link.GetN() > last.GetN()+1:
			return fmt.Errorf("links %d to %d of %q are missing", last.GetN()+1, link.GetN()-1, link.GetStream())
		case link.GetPrev() != last.GetHash():
			return fmt.Errorf("link %d of %q does not hold the hash of the one before it", link.GetN(), link.GetStream())
		}
	}
	c.Last = link
	c.Checked++
	return nil
}

// LinkOf is the link that an event of a log is.
func LinkOf(e *scriptv1.BroadcastEvent) *scriptv1.ChainResponse {
	return &scriptv1.ChainResponse{Stream: e.GetStream(), N: e.GetN(), Prev: e.GetPrev(), Hash: e.GetHash(), Payload: e.GetPayload()}
}

// payload is text that differs from link to link.
func payload(n uint64, size uint32) string {
	if size == 0 {
		return ""
	}
	return fill(strconv.FormatUint(n, 10)+" ", int(size))[:size]
}
