package nginx_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/e2e/nginx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nginx's defaults are as the bridge's answer to them assumes: HTTP/1.0 with `Connection: close` to the target, and
// small responses held back unless they say `X-Accel-Buffering: no`.
func TestDefaults(t *testing.T) {
	for name, passesAtOnce := range map[string]bool{"yes": false, "no": true} {
		t.Run("X-Accel-Buffering="+name, func(t *testing.T) {
			asked := make(chan *http.Request, 1)
			release := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r
				w.Header().Set("X-Accel-Buffering", name)
				_, _ = io.WriteString(w, "data: 1\n\n")
				_ = http.NewResponseController(w).Flush()
				<-release
			}))
			defer server.Close()
			address := nginx.Start(t, nginx.Options{Target: strings.TrimPrefix(server.URL, "http://")})

			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			first := make(chan byte, 1)
			finished := make(chan error, 1)
			go func() {
				response, err := client.Get("http://" + address)
				if err != nil {
					finished <- err
					return
				}
				defer response.Body.Close()
				body, err := readFirst(response.Body, first)
				if err == nil && body != "data: 1\n\n" {
					t.Errorf("body %q", body)
				}
				finished <- err
			}()

			r := <-asked
			if r.Proto != "HTTP/1.0" || !r.Close {
				t.Errorf("asked with %s, close %t; want HTTP/1.0, true", r.Proto, r.Close)
			}
			// That nothing comes can only be seen by waiting for a while.
			wait := 500 * time.Millisecond
			if passesAtOnce {
				wait = 2 * time.Minute
			}
			select {
			case <-first:
				if !passesAtOnce {
					t.Error("the first byte came through at once; nginx was expected to hold it back")
				}
			case <-time.After(wait):
				if passesAtOnce {
					t.Error("nginx holds the first byte back")
				}
			}
			close(release)
			if err := <-finished; err != nil {
				t.Error(err)
			}
		})
	}
}

// readFirst reads all of body and says when its first byte arrives.
func readFirst(body io.Reader, first chan<- byte) (string, error) {
	one := make([]byte, 1)
	if _, err := io.ReadFull(body, one); err != nil {
		return "", err
	}
	first <- one[0]
	rest, err := io.ReadAll(body)
	return string(one) + string(rest), err
}
