package browser_test

import (
	"fmt"
	"testing"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// bridged starts a bridge in front of a backend that plays scripts, and returns the backend and the bridge's HOST:PORT.
func bridged(t *testing.T) (*script.Backend, string) {
	t.Helper()
	w := launch(t, "")
	return w.backend, w.addr
}

// three is a call of three events.
func three(t *testing.T) stream {
	t.Helper()
	backend, addr := bridged(t)
	return stream{addr: addr, path: "/v1/play/three", types: []string{"note"}, data: defineThree(backend)}
}

// defineThree makes the script "three" and returns its events' data.
func defineThree(backend *script.Backend) (data []string) {
	var steps []*scriptv1.Step
	for i, text := range []string{"one", "two, and ä", "three"} {
		steps = append(steps, script.Note(text))
		data = append(data, fmt.Sprintf(`{"n":"%d","note":{"text":"%s"}}`, i+1, text))
	}
	backend.Define("three", steps...)
	return data
}

// The same as for the stand-in, with the bridge: every byte of what it really sends.
func TestBridgeCutAtEveryByte(t *testing.T) { cutAtEveryByte(t, three(t)) }
