package torture_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

const (
	plantedEvents = 60
	plantedAt     = 40   // the link that a fault is about
	plantedCut    = 5000 // the byte of the first response at which it is cut: before that link
)

// at changes one frame only.
func at(n int, change func(frame string) []string) func(int, string) []string {
	return func(i int, frame string) []string {
		if i == n {
			return change(frame)
		}
		return []string{frame}
	}
}

// moved moves the position of a presented cursor.
func moved(by int) func(*http.Request) {
	return func(r *http.Request) {
		digits, mark, _ := strings.Cut(r.Header.Get("Last-Event-ID"), ".")
		position, err := strconv.Atoi(digits)
		if err != nil || strings.HasSuffix(mark, ".end") {
			return
		}
		r.Header.Set("Last-Event-ID", strconv.Itoa(position+by)+"."+mark)
	}
}

// later keeps a link's frame back until the frame after it has passed.
func later(n int) func(int, string) []string {
	var kept string
	return func(i int, frame string) []string {
		if i == n {
			kept = frame
			return nil
		}
		frames := []string{frame, kept}
		kept = ""
		return frames
	}
}

// foreign makes a link of another chain from a frame.
func foreign(frame string) []string {
	link := oracle.Link{Stream: "other", N: plantedAt, Prev: script.Genesis("other")}
	link.Hash = link.Sum()
	data, err := json.Marshal(map[string]string{
		"stream": link.Stream, "n": strconv.FormatUint(link.N, 10), "prev": link.Prev, "hash": link.Hash,
	})
	if err != nil {
		panic(err)
	}
	head, _, _ := strings.Cut(frame, "data: ")
	return []string{fmt.Sprintf("%sdata: %s\n\n", head, data)}
}

// violations are the broken promises in err.
func violations(err error) []*oracle.ViolationError {
	if v, ok := err.(*oracle.ViolationError); ok { //nolint:errorlint // walks the tree itself
		return []*oracle.ViolationError{v}
	}
	var found []*oracle.ViolationError
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case interface{ Unwrap() error }:
		found = violations(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			found = append(found, violations(err)...)
		}
	}
	return found
}

// promises are the promises that err says were broken, each once and in order.
func promises(err error) []string {
	var found []string
	for _, v := range violations(err) {
		found = append(found, v.Promise)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestPlantedFaults shows that the torture test can fail: each kind of bug, once in one stream, breaks the promises that
// it should. The stream is cut in the middle, too, and is read by two tabs, of which the first has the fault.
func TestPlantedFaults(t *testing.T) {
	b, upstream := backend(t)
	target := bridge(t, upstream, "")
	tests := []struct {
		name  string
		fault *fault
		want  []string
	}{
		{name: "none"},
		{"an event lost", &fault{frame: at(plantedAt, func(string) []string { return nil })}, []string{"chain", "complete", "contiguous"}},
		{"the last event lost", &fault{frame: at(plantedEvents, func(string) []string { return nil })}, []string{"complete", "contiguous"}},
		{
			"an event twice",
			&fault{frame: at(plantedAt, func(f string) []string { return []string{f, f} })},
			[]string{"chain", "complete", "contiguous", "rising", "unique"},
		},
		{"two events swapped", &fault{frame: later(plantedAt)}, []string{"chain", "complete", "contiguous", "rising"}},
		{
			"two frames run into one",
			&fault{frame: at(plantedAt, func(f string) []string { return []string{strings.TrimSuffix(f, "\n")} })},
			[]string{"chain", "complete", "contiguous", "identical"},
		},
		{
			"a byte changed",
			&fault{frame: at(plantedAt, func(f string) []string {
				return []string{strings.Replace(f, `"payload":"40 `, `"payload":"41 `, 1)}
			})},
			[]string{"chain", "identical"},
		},
		{
			"the same, written otherwise",
			&fault{frame: at(plantedAt, func(f string) []string { return []string{strings.Replace(f, "data: {", "data: { ", 1)} })},
			[]string{"identical"},
		},
		{"another's event", &fault{frame: at(plantedAt, foreign)}, []string{"identical", "isolated"}},
		{
			"the end twice",
			&fault{frame: at(0, func(f string) []string { return []string{f, f} })},
			[]string{"contiguous", "rising", "terminal", "unique"},
		},
		{"an event after the end", &fault{frame: later(plantedEvents)}, []string{"contiguous", "rising", "terminal", "unique"}},
		{
			"an end with an error",
			&fault{frame: at(0, func(f string) []string { return []string{strings.Replace(f, `"code":0`, `"code":14`, 1)} })},
			[]string{"complete", "identical"},
		},
		{"resumed one too early", &fault{request: moved(-1)}, []string{"chain", "complete", "opened", "rising", "unique"}},
		{"resumed one too late", &fault{request: moved(+1)}, []string{"chain", "complete", "opened"}},
		{
			"the cursor forgotten",
			&fault{request: func(r *http.Request) {
				if !strings.HasSuffix(r.Header.Get("Last-Event-ID"), ".end") { // without that it would never end
					r.Header.Del("Last-Event-ID")
				}
			}},
			[]string{"announced", "chain", "complete", "opened", "rising", "unique"},
		},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := stream{
				name: fmt.Sprintf("planted%d", i), events: plantedEvents, size: 20, verb: http.MethodGet,
				key: fmt.Sprintf("planted-%022d", i), tabs: []tab{{}, {}},
			}
			networks := make([]string, len(s.tabs))
			for k := range s.tabs {
				n := &network{
					target: target, tally: &tally{}, random: rand.New(rand.NewPCG(0, 0)),
					next: func(_ *rand.Rand, connection int) fate {
						if connection == 0 {
							return fate{after: plantedCut, reset: true}
						}
						return fate{after: -1}
					},
				}
				if k == 0 {
					n.fault = test.fault
				}
				networks[k] = n.start(t)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a fault can keep a client coming back for ever
			defer cancel()
			transcripts, err := s.read(ctx, networks)
			err = errors.Join(err, s.checkAll(b, transcripts))
			if diff := cmp.Diff(test.want, promises(err)); diff != "" {
				t.Errorf("broken promises (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}
