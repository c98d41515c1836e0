package script

import (
	"strconv"
	"strings"
	"sync"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// markEvery is how many links lie between two hashes that are remembered: so many are computed again at most.
const markEvery = 1024

// links makes the events of a log out of their numbers. It stores none of them, so a log may be as long as it likes.
type links struct {
	stream string
	size   uint32

	mu    sync.Mutex
	marks []string // marks[i] is the hash of link i*markEvery
}

func newLinks(stream string, size uint32) *links {
	return &links{stream: stream, size: size, marks: []string{Genesis(stream)}}
}

// hash is the hash of link n.
func (l *links) hash(n uint64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := min(n/markEvery, uint64(len(l.marks)-1))
	hash := l.marks[i]
	for k := i*markEvery + 1; k <= n; k++ {
		hash = Hash(hash, l.stream, k, payload(k, l.size))
		if k == uint64(len(l.marks))*markEvery {
			l.marks = append(l.marks, hash)
		}
	}
	return hash
}

// event is event n, whose link follows the one with the hash prev.
func (l *links) event(def *scriptv1.Log, n uint64, prev string) *scriptv1.BroadcastEvent {
	e := &scriptv1.BroadcastEvent{Stream: l.stream, N: n, Prev: prev, Payload: payload(n, l.size), Sequence: n, Kind: kinds[n%2]}
	e.Hash = Hash(prev, l.stream, n, e.GetPayload())
	e.Token = token(n, e.GetHash())
	e.Key, e.Deleted = keyOf(def, n)
	for _, f := range def.GetFaults() {
		if f.GetN() == n {
			l.spoil(e, f.GetWrong())
		}
	}
	return e
}

var kinds = [2]string{"even", "odd"}

// spoil makes e's cursor wrong.
func (l *links) spoil(e *scriptv1.BroadcastEvent, wrong scriptv1.Wrong) {
	back := uint64(0)
	switch wrong {
	case scriptv1.Wrong_WRONG_MISSING:
		e.Sequence, e.Token = 0, ""
		return
	case scriptv1.Wrong_WRONG_SAME:
		back = 1
	case scriptv1.Wrong_WRONG_BACK:
		back = 2
	default:
	}
	n := e.GetN() - min(back, e.GetN()-1)
	e.Sequence, e.Token = n, token(n, l.hash(n))
}

// token is an event's cursor as a string. It holds a piece of the hash, so that one of another log is not taken for it.
func token(n uint64, hash string) string { return hash[:12] + "-" + strconv.FormatUint(n, 36) }

// number is the event that a token belongs to. Only numbers up to head are looked at.
func (l *links) number(t string, head uint64) (n uint64, ok bool) {
	_, digits, _ := strings.Cut(t, "-")
	n, err := strconv.ParseUint(digits, 36, 64)
	if err != nil || n == 0 || n > head {
		return 0, false
	}
	return n, token(n, l.hash(n)) == t
}

// keyOf is what event n is about, and whether that is gone with it.
func keyOf(def *scriptv1.Log, n uint64) (key string, deleted bool) {
	if def.GetKeys() == 0 {
		return "", false
	}
	// SplitMix64: keys come in no order, some often and some seldom.
	x := n * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	one := uint64(def.GetDeleteOneOf())
	return "key" + strconv.FormatUint(x%uint64(def.GetKeys()), 10), one > 0 && (x>>32)%one == 0
}

// newest is the number of each key's newest event after those up to head, without the keys that are deleted.
func newest(def *scriptv1.Log, head uint64) map[string]uint64 {
	state := map[string]uint64{}
	for n := uint64(1); n <= head && def.GetKeys() > 0; n++ {
		key, deleted := keyOf(def, n)
		if state[key] = n; deleted {
			delete(state, key)
		}
	}
	return state
}
