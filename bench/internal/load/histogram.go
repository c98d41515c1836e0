package load

import (
	"math/bits"
	"time"
)

// subBits is how many bits of a value tell buckets apart: 32 buckets for each power of two, so a figure is at most 3 %
// off.
const subBits = 5

// Histogram counts latencies without allocating.
type Histogram struct {
	counts [(64 - subBits) << subBits]uint64
	total  uint64
	max    int64
}

func bucket(nanos int64) int {
	v := uint64(nanos)
	shift := bits.Len64(v) - 1 - subBits
	if shift <= 0 {
		return int(v) // exact below 64 ns
	}
	return shift<<subBits + int(v>>shift)
}

// middle is the middle of a bucket.
func middle(bucket int) int64 {
	shift := bucket>>subBits - 1
	if shift <= 0 {
		return int64(bucket)
	}
	least := int64(bucket-shift<<subBits) << shift
	return least + int64(1)<<shift/2
}

// Add counts a latency in nanoseconds. One below 0 counts as 0.
func (h *Histogram) Add(nanos int64) {
	nanos = max(nanos, 0)
	h.counts[bucket(nanos)]++
	h.total++
	h.max = max(h.max, nanos)
}

// Merge adds another histogram's counts.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is how many latencies were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the greatest one, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Quantile is the latency that a share q of all did not exceed; 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return time.Duration(min(middle(i), h.max))
		}
	}
	return h.Max()
}
