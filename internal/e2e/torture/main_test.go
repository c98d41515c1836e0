package torture_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// guard ends a test that hangs. Nothing is expected to be done within it.
const guard = 10 * time.Minute

// The sizes of a run. Each flag's default can be given in the environment.
var (
	seedFlag    = number("seed", 0, "what the network's faults are drawn from; 0: another one each time")
	clientsFlag = number("clients", 200, "how many clients read")
	eventsFlag  = number("events", 400, "how many events each stream has")
)

// number defines a flag whose default is in the environment, as TORTURE_NAME, or else is otherwise.
func number(name string, otherwise uint64, usage string) *uint64 {
	variable := "TORTURE_" + strings.ToUpper(name)
	value, err := strconv.ParseUint(cmp.Or(os.Getenv(variable), strconv.FormatUint(otherwise, 10)), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("%s=%q: want a number", variable, os.Getenv(variable)))
	}
	return flag.Uint64(name, value, usage+" ("+variable+")")
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		removeBinary()
		os.Exit(code) //nolint:forbidigo // it is what VerifyTestMain leaves to us
	}))
}

// guarded is the test's context, with an end.
func guarded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	t.Cleanup(cancel)
	return ctx
}

// listen listens on a free port.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// backend serves a scriptable backend until the test ends, on an address that it returns.
func backend(t testing.TB) (*script.Backend, string) {
	t.Helper()
	b, l := script.New(), listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1) // one slot, so that Serve can return before it is asked for
	go func() { served <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("the backend: %v", err)
		}
	})
	return b, l.Addr().String()
}
