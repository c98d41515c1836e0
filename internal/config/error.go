package config

import (
	"errors"
	"slices"
	"strings"
)

// ErrNoUpstream is the error of a config that names no upstream.
var ErrNoUpstream = errors.New("no upstream: nothing to serve")

// Error is one thing that is wrong with a config. It never shows a value that may be a secret.
type Error struct {
	// Where is where the value was written: FILE:LINE:COLUMN or a flag. Empty where it was written nowhere.
	Where string
	// Field is the path of the field in the config, such as upstreams[0].tls.ca_file. Empty for the whole file.
	Field string
	// Message says what is wrong and what to do.
	Message string

	line, column int
}

// Error returns the place, the field and the message. A flag's name stands for its field.
func (e *Error) Error() string {
	var parts []string
	if e.Where != "" {
		parts = append(parts, e.Where)
	}
	if e.Field != "" && !strings.HasPrefix(e.Where, "--") {
		parts = append(parts, e.Field)
	}
	return strings.Join(append(parts, e.Message), ": ")
}

// faults collects errors. Of several at one place only the first is kept, since the others follow from it.
type faults struct{ list []*Error }

func (f *faults) add(e *Error) {
	same := func(o *Error) bool { return o.Where == e.Where && (e.line > 0 || o.Field == e.Field) }
	if e.Where != "" && slices.ContainsFunc(f.list, same) {
		return
	}
	f.list = append(f.list, e)
}

// err returns the errors in the order of their places, or nil.
func (f *faults) err() error {
	slices.SortStableFunc(f.list, func(a, b *Error) int {
		if a.line != b.line {
			return a.line - b.line
		}
		return a.column - b.column
	})
	joined := make([]error, len(f.list))
	for i, e := range f.list {
		joined[i] = e
	}
	return errors.Join(joined...)
}
