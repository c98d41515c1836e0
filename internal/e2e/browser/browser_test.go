package browser_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
)

// browsers are started once for all tests of the package.
var browsers browser.Set

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(closing{m})
}

// closing ends the browsers before the search for leaks.
type closing struct{ *testing.M }

func (c closing) Run() int {
	code := c.M.Run()
	if err := browsers.Close(); err != nil {
		panic(err)
	}
	return code
}

// The browsers do what the other tests build on: pages of their own, values back, errors as errors.
func TestBrowsersObey(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>" + r.URL.Path + "</title>"))
	}))
	t.Cleanup(server.Close)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		t.Log(b.Version())
		first, second := b.Open(t, server.URL+"/first"), b.Open(t, server.URL+"/second")
		for want, page := range map[string]*browser.Page{"/first": first, "/second": second} {
			var got struct {
				Title string
				List  []int
			}
			page.Eval(2*time.Minute, `await null; return {title: document.title, list: [1, 2]}`, &got)
			if diff := cmp.Diff(want, got.Title); diff != "" || len(got.List) != 2 {
				t.Errorf("page %s: got %+v", want, got)
			}
		}
		var thrown string
		first.Eval(2*time.Minute, `try { null.x } catch (e) { return e.name }`, &thrown)
		if thrown != "TypeError" {
			t.Errorf("thrown %q, want TypeError", thrown)
		}
	})
}
