package render

import (
	"slices"
	"strconv"
)

// isTime reports whether a form is that of seconds and nanoseconds.
func (f wellKnown) isTime() bool { return f == timestamp || f == duration }

// readTime reads a Timestamp or Duration as nearly all are encoded, which takes no frame. It reports false for others.
//
//	08 <seconds> 10 <nanos>     either may be missing
func (s *scratch) readTime(at uint64) (seconds int64, nanos int32, ok bool) {
	i, end := bounds(at)
	w := s.wire[:end]
	var v uint64
	if i < len(w) && w[i] == 1<<3|wireVarint {
		if v, i = varint(w, i+1); i < 0 {
			return 0, 0, false
		}
		seconds = int64(v)
	}
	if i < len(w) && w[i] == 2<<3|wireVarint {
		if v, i = varint(w, i+1); i < 0 {
			return 0, 0, false
		}
		nanos = int32(v)
	}
	return seconds, nanos, i == len(w)
}

// time writes a Timestamp or a Duration.
func (s *scratch) time(dst []byte, form wellKnown, seconds int64, nanos int32) ([]byte, *Error) {
	if form == timestamp {
		return s.timestamp(dst, seconds, nanos)
	}
	return s.duration(dst, seconds, nanos)
}

const maxNanos = 999_999_999

// maxDuration is how many seconds a google.protobuf.Duration can have.
const maxDuration = 315_576_000_000

// duration writes a google.protobuf.Duration: seconds with 0, 3, 6 or 9 decimals, and an s.
func (s *scratch) duration(dst []byte, seconds int64, nanos int32) ([]byte, *Error) {
	if seconds < -maxDuration || seconds > maxDuration || nanos < -maxNanos || nanos > maxNanos ||
		seconds > 0 && nanos < 0 || seconds < 0 && nanos > 0 {
		return dst, s.fail(noJSON("google.protobuf.Duration", "%d s %d ns", seconds, nanos))
	}
	dst = append(dst, '"')
	if seconds < 0 || nanos < 0 {
		dst = append(dst, '-')
		seconds, nanos = -seconds, -nanos
	}
	dst = strconv.AppendInt(dst, seconds, 10)
	var decimals [len(".000000000")]byte
	dst = append(dst, decimals[:putDecimals(decimals[:], uint32(nanos))]...)
	return append(dst, 's', '"'), nil
}

// putDecimals writes a part of a second with a point before it, in 0, 3, 6 or 9 digits, and returns its length.
func putDecimals(dst []byte, nanos uint32) int {
	if nanos == 0 {
		return 0
	}
	_ = dst[9]
	dst[0] = '.'
	putThousandth(dst[1:], nanos/1_000_000)
	if nanos %= 1_000_000; nanos == 0 {
		return 4
	}
	putThousandth(dst[4:], nanos/1_000)
	if nanos %= 1_000; nanos == 0 {
		return 7
	}
	putThousandth(dst[7:], nanos)
	return 10
}

// putThousandth writes a number below 1,000 in three digits.
func putThousandth(dst []byte, n uint32) {
	dst[0] = byte('0' + n/100)
	put(dst[1:], n%100)
}

// appendThousandth appends a number below 1,000 in three digits.
func appendThousandth(dst []byte, n uint32) []byte {
	pair := pairs[n%100*2:]
	return append(dst, byte('0'+n/100), pair[0], pair[1])
}

// pairs are the numbers below 100 in two digits.
const pairs = "00010203040506070809101112131415161718192021222324" +
	"25262728293031323334353637383940414243444546474849" +
	"50515253545556575859606162636465666768697071727374" +
	"75767778798081828384858687888990919293949596979899"

// put writes a number below 100 as two digits.
func put(dst []byte, n uint32) {
	pair := pairs[n*2:]
	dst[1], dst[0] = pair[1], pair[0]
}

// The seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const (
	minTimestamp = -62_135_596_800
	maxTimestamp = 253_402_300_799
)

// dateText remembers the text of a day, since most Timestamps are of the same one.
type dateText struct {
	known bool
	day   uint32 // since 0001-01-01
	text  [len(`"2006-01-02T15:04:05.000000000Z"`)]byte
}

// timestamp writes a google.protobuf.Timestamp as RFC 3339 has it, in UTC and with 0, 3, 6 or 9 decimals.
func (s *scratch) timestamp(dst []byte, seconds int64, nanos int32) ([]byte, *Error) {
	if seconds < minTimestamp || seconds > maxTimestamp || nanos < 0 || nanos > maxNanos {
		return dst, s.fail(noJSON("google.protobuf.Timestamp", "%d s %d ns", seconds, nanos))
	}
	const day = 24 * 60 * 60
	sinceYear1 := uint64(seconds - minTimestamp)
	if today := uint32(sinceYear1 / day); !s.date.known || s.date.day != today {
		s.date.set(today)
	}
	clock := uint32(sinceYear1 % day)
	start := len(dst)
	dst = slices.Grow(dst, len(s.date.text))
	text := dst[start : start+len(s.date.text)]
	*(*[len(s.date.text)]byte)(text) = s.date.text
	put(text[12:], clock/3600)
	put(text[15:], clock/60%60)
	put(text[18:], clock%60)
	end := len(`"2006-01-02T15:04:05`)
	end += putDecimals(text[end:], uint32(nanos))
	text[end], text[end+1] = 'Z', '"'
	return dst[:start+end+2], nil
}

// emptyDate is the text of no day. What is behind the seconds is written each time.
var emptyDate = [len(dateText{}.text)]byte([]byte(`"0000-00-00T00:00:00.000000000Z"`))

// set makes the text of a day. It counts in years that begin on 1 March, so that the day of a leap year is the last one,
// and in the 400 years after which the calendar repeats itself.
func (d *dateText) set(day uint32) {
	const (
		untilJanuary = 306           // from 1 March of the year 0 to 1 January of the year 1
		years4       = 4*365 + 1     // in days
		years100     = 25*years4 - 1 //
		years400     = 4*years100 + 1
	)
	days := day + untilJanuary
	rest := days % years400
	year := (rest - rest/(years4-1) + rest/years100 - rest/(years400-1)) / 365
	ofYear := rest - (365*year + year/4 - year/100)
	month := (5*ofYear + 2) / 153 // of 31, 30, 31, 30, 31 days
	date := ofYear - (153*month+2)/5 + 1
	year += days / years400 * 400
	if month += 3; month > 12 {
		year, month = year+1, month-12
	}
	*d = dateText{known: true, day: day, text: emptyDate}
	put(d.text[1:], year/100)
	put(d.text[3:], year%100)
	put(d.text[6:], month)
	put(d.text[9:], date)
}
