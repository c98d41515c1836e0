package conformance

import (
	"context"
	"fmt"
	"slices"
	"time"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// pollEvery is how often the backend is asked: its service has no way to wait.
const pollEvery = 5 * time.Millisecond

// backend waits until what must be known of the backend's calls is so, and then sees that it stays so.
func (r *runner) backend(ctx context.Context, want BackendExpect) error {
	if want.Stream == "" {
		want.Stream = "${run}"
	}
	stream, err := r.fill(want.Stream)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	deadline := time.Now().Add(patience)
	for {
		problem, err := r.ask(ctx, stream, want)
		switch {
		case err != nil:
			return err
		case problem == "":
			return r.stays(ctx, stream, want)
		case time.Now().After(deadline):
			return fmt.Errorf("the backend: %s", problem)
		}
		<-ticker.C
	}
}

func (r *runner) stays(ctx context.Context, stream string, want BackendExpect) error {
	if want.Quiet == 0 {
		return nil
	}
	select {
	case <-time.After(want.Quiet):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	problem, err := r.ask(ctx, stream, want)
	if err == nil && problem != "" {
		err = fmt.Errorf("the backend, %v later: %s", want.Quiet, problem)
	}
	return err
}

// ask says what is not as wanted; "" for nothing.
func (r *runner) ask(ctx context.Context, stream string, want BackendExpect) (string, error) {
	list, err := r.endpoint.Backend.ListCalls(ctx, &scriptv1.ListCallsRequest{Stream: stream})
	if err != nil {
		return "", err
	}
	calls := list.GetCalls()
	ended, cancelled, sent := 0, 0, uint64(0)
	for _, c := range calls {
		if c.GetEnded() {
			ended++
		}
		if c.GetCancelled() {
			cancelled++
		}
		sent += c.GetSent()
	}
	for _, count := range []struct {
		what string
		want *int
		got  int
	}{{"calls", want.Calls, len(calls)}, {"ended calls", want.Ended, ended}, {"cancelled calls", want.Cancelled, cancelled}} {
		if count.want != nil && *count.want != count.got {
			return fmt.Sprintf("%d %s, want %d; all calls: %v", count.got, count.what, *count.want, calls), nil
		}
	}
	if problem := want.cursors(calls); problem != "" {
		return problem, nil
	}
	switch {
	case want.Sent != nil && sent != *want.Sent:
		return fmt.Sprintf("it could send %d messages, want %d", sent, *want.Sent), nil
	case want.AtMost != nil && sent > *want.AtMost:
		return fmt.Sprintf("it could send %d messages, want at most %d", sent, *want.AtMost), nil
	}
	return r.metadata(calls, want.Metadata)
}

// cursors says how the cursors of the calls are not as wanted.
func (want BackendExpect) cursors(calls []*scriptv1.Call) string {
	if want.Cursors == nil {
		return ""
	}
	var got []string
	for _, c := range calls {
		got = append(got, c.GetCursor())
	}
	if !slices.Equal(got, want.Cursors) {
		return fmt.Sprintf("calls with the cursors %q, want %q", got, want.Cursors)
	}
	return ""
}

func (r *runner) metadata(calls []*scriptv1.Call, want map[string]*string) (string, error) {
	if len(want) == 0 {
		return "", nil
	}
	if len(calls) == 0 {
		return "no call", nil
	}
	got := calls[len(calls)-1].GetMetadata()
	for key, value := range want {
		have, there := got[key]
		switch {
		case value == nil && there:
			return fmt.Sprintf("it got %s: %s", key, have), nil
		case value != nil && !matchesText(*value, have):
			return fmt.Sprintf("it got %s: %q, want %q", key, have, *value), nil
		}
	}
	return "", nil
}
