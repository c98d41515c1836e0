package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/metadata"
)

// StreamKey names a shared stream: requests with equal keys share one call. It says nothing about what it was made of.
type StreamKey [sha256.Size]byte

// Keyer makes the keys of shared streams, with a secret of its own: keys are comparable only to those of the same Keyer.
// It is immutable.
type Keyer struct {
	unkeyed []string
	keyings sync.Pool // of *keying
}

// keying is what it takes to make a key.
type keying struct {
	mac  hash.Hash // keyed with the secret
	text []byte    // empty; kept for its memory
	sum  [sha256.Size]byte
}

// maxKeptText is how large a text may be whose memory is kept.
const maxKeptText = 4 << 10

// NewKeyer makes a Keyer with a new secret. Metadata with the names unkeyed does not count in the keys of who has a name;
// between anonymous clients it may be all that tells them apart.
func NewKeyer(unkeyed []string) *Keyer {
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the process instead
	k := &Keyer{unkeyed: slices.Clone(unkeyed)}
	k.keyings.New = func() any { return &keying{mac: hmac.New(sha256.New, secret)} }
	return k
}

// Key makes the key of a shared stream: equal for equal arguments, different for different ones.
//
//   - fingerprint is that of the method's rule, canonical the canonical request.
//   - principal is who may read the stream; nil where everybody may.
//   - md is what the call carries of the client's headers; what [SharedMetadata] leaves out does not count. The order of
//     names does not count, that of one name's values does.
func (k *Keyer) Key(method string, fingerprint [sha256.Size]byte, canonical []byte, principal *Principal, md metadata.MD) StreamKey {
	// Every part stands after its length, and lists after their number of items, so that no two lists of parts make the
	// same bytes:
	//
	//	method, fingerprint, canonical, principal ("" for nil), then for each name: name, number of values, values
	with := k.keyings.Get().(*keying)
	defer k.keyings.Put(with)
	buf := appendPart(with.text[:0], method)
	buf = appendPart(buf, fingerprint[:])
	buf = appendPart(buf, canonical)
	if principal == nil {
		buf = appendPart(buf, "")
	} else {
		buf = appendPart(buf, principal[:])
	}
	named := principal != nil && !principal.Anonymous()
	for _, name := range sortedNames(md) {
		values := md[name]
		if len(values) == 0 || isPerRequest(name) || named && slices.Contains(k.unkeyed, name) {
			continue
		}
		buf = appendPart(buf, name)
		buf = binary.AppendUvarint(buf, uint64(len(values)))
		for _, v := range values {
			buf = appendPart(buf, v)
		}
	}
	with.mac.Reset()
	with.mac.Write(buf)
	clear(buf) // credentials are not kept
	if cap(buf) <= maxKeptText {
		with.text = buf
	}
	return StreamKey(with.mac.Sum(with.sum[:0]))
}

func sortedNames(md metadata.MD) []string {
	if len(md) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(md))
}

// appendPart appends part after its length.
func appendPart[T string | []byte](dst []byte, part T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(part)))
	return append(dst, part...)
}

// SharedMetadata returns what of md may go with a call that several clients share: all but trace contexts, request ids
// and deadlines, which belong to one request. It returns a new map with the values of the old one.
func SharedMetadata(md metadata.MD) metadata.MD {
	shared := make(metadata.MD, len(md))
	for name, values := range md {
		if !isPerRequest(name) {
			shared[name] = values
		}
	}
	return shared
}

// perRequest are headers whose values are different in each request of the same client. Those of trace contexts are the
// ones that OpenTelemetry's propagators and the tracers of the clouds use.
var perRequest = []string{
	"b3", "baggage", "traceparent", "tracestate", "uber-trace-id", "x-amzn-trace-id", "x-cloud-trace-context", "x-trace-id",
	"correlation-id", "request-id", "x-amz-request-id", "x-amzn-requestid", "x-correlation-id", "x-request-id",
	"grpc-timeout", "x-envoy-expected-rq-timeout-ms", "x-request-start",
}

// perRequestPrefixes are the beginnings of families of such headers.
var perRequestPrefixes = []string{"grpc-trace-", "uberctx-", "x-b3-", "x-datadog-", "x-ot-span-"}

func isPerRequest(name string) bool {
	return slices.Contains(perRequest, name) ||
		slices.ContainsFunc(perRequestPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
