package event

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

const (
	runLen        = 13
	generationLen = 3
	markLen       = runLen + generationLen
	checkLen      = 5
)

// Mark names a generation of a run: one writer's unbroken part of the log of one call. It is unguessable, and it alone
// decides whether a cursor is known.
//
//	0            13         16
//	| run         | gen      |     characters of [A-Za-z0-9_-]
type Mark [markLen]byte

// NewMark makes the mark of a new run's first generation.
func NewMark() Mark {
	var m Mark
	randomToken(m[:])
	return m
}

// NextGeneration makes the mark of another generation of m's run.
func (m Mark) NextGeneration() Mark {
	next := m
	for next == m {
		randomToken(next[runLen:])
	}
	return next
}

// SameRun reports whether m and other name generations of one run.
func (m Mark) SameRun(other Mark) bool {
	return m.Run() == other.Run()
}

// Run is what the marks of one run's generations have in common.
type Run [runLen]byte

// Run names the run that m is a generation of.
func (m Mark) Run() Run { return Run(m[:runLen]) }

// String is the mark's text form.
func (m Mark) String() string { return string(m[:]) }

// tokenAlphabet has 64 characters, so that a random byte's low six bits choose one evenly.
const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

func randomToken(dst []byte) {
	_, _ = rand.Read(dst) // never fails: crypto/rand.Read ends the program instead
	for i, b := range dst {
		dst[i] = tokenAlphabet[b&63]
	}
}

// isToken reports whether s holds nothing but characters of [A-Za-z0-9_-].
func isToken(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(tokenAlphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// Check binds an id to what was asked for, where there is no log that could tell: 30 bits of a SHA-256 over the method
// and the canonical request. It is no authority; it keeps a cursor from being taken for another stream's by mistake.
type Check [checkLen]byte

// CheckOf makes the check of a method's full name (pkg.Service.Method) and a canonical request.
func CheckOf(method string, canonical []byte) Check {
	var room [512]byte // enough for most, so that nothing is allocated
	text := binary.BigEndian.AppendUint64(room[:0], uint64(len(method)))
	text = append(append(text, method...), canonical...)
	sum := sha256.Sum256(text)
	var encoded [8]byte
	base64.RawURLEncoding.Encode(encoded[:], sum[:6])
	return Check(encoded[:checkLen])
}

func parseCheck(s string) (Check, bool) {
	if len(s) != checkLen || !isToken(s) {
		return Check{}, false
	}
	return Check([]byte(s)), true
}
