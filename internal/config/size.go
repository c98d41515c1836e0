package config

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// sizeUnits are the units of sizes, as in the config file: powers of ten, and with an i powers of 1,024.
var sizeUnits = map[string]uint64{
	"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
}

// ParseSize reads a number of bytes such as 65536, 64Ki or 256Mi, of at most largest.
func ParseSize(s string, largest uint64) (uint64, error) {
	digits := strings.TrimRight(s, "kKMGTi")
	unit, ok := sizeUnits[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || !ok {
		return 0, fmt.Errorf("%q is not a size; write a number of bytes, with k, M, G, Ki, Mi or Gi after it if you like", s)
	}
	high, low := bits.Mul64(n, unit)
	if high != 0 || low > largest {
		return 0, fmt.Errorf("%q is too large; the largest is %d bytes", s, largest)
	}
	return low, nil
}
