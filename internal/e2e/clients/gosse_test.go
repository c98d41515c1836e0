package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	sse "github.com/tmaxmax/go-sse"
)

// inGo reads streams with tmaxmax/go-sse, all at once. It reads on after every end until a status stops it, which it
// reports as a failed validation.
func inGo(t *testing.T, streams []reading) []seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	all := make([]seen, len(streams))
	var wg sync.WaitGroup
	for i, s := range streams {
		wg.Go(func() { all[i] = readInGo(ctx, transport, s) })
	}
	wg.Wait()
	return all
}

func readInGo(ctx context.Context, transport http.RoundTripper, s reading) (saw seen) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"&sse.call="+s.Key, http.NoBody)
	if err != nil {
		return seen{Ended: err.Error()}
	}
	c := sse.Client{HTTPClient: &http.Client{Transport: transport}, OnRetry: func(error, time.Duration) { saw.Errors++ }}
	connection := c.NewConnection(request)
	connection.SubscribeToAll(func(e sse.Event) {
		if e.Type != "" { // a block of its own without data is handed out, too
			saw.Events = append(saw.Events, event{Type: e.Type, ID: e.LastEventID, Data: e.Data})
		}
	})
	err = connection.Connect()
	saw.Ended = fmt.Sprint(err)
	if refused, ok := errors.AsType[*sse.ConnectionError](err); ok && strings.HasSuffix(refused.Error(), "received 204 No Content") {
		saw.Ended = "status 204"
	}
	return saw
}
