//go:build unix

package crowd_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// guard ends a test that hangs. Nothing is expected to be done within it.
const guard = 8 * time.Minute

// The sizes of a run. Each flag's default can be given in the environment.
var (
	seedFlag    = number("seed", 0, "what the cuts are drawn from; 0: another one each time")
	clientsFlag = number("clients", usualClients, "how many clients read")
	eventsFlag  = number("events", 150, "how many events each stream has")
)

// number defines a flag whose default is in the environment, as CROWD_NAME, or else is otherwise.
func number(name string, otherwise uint64, usage string) *uint64 {
	variable := "CROWD_" + strings.ToUpper(name)
	value, err := strconv.ParseUint(cmp.Or(os.Getenv(variable), strconv.FormatUint(otherwise, 10)), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("%s=%q: want a number", variable, os.Getenv(variable)))
	}
	return flag.Uint64(name, value, usage+" ("+variable+")")
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if binaryDir != "" {
			_ = os.RemoveAll(binaryDir) // what is left over is in the folder for temporary files
		}
		os.Exit(code) //nolint:forbidigo // it is what VerifyTestMain leaves to us
	}))
}

// program builds the bridge once for all tests, with the race detector where this process has it.
var (
	binaryDir string // set by program
	program   = sync.OnceValues(func() (path string, err error) {
		if binaryDir, err = os.MkdirTemp("", "crowd"); err != nil {
			return "", err
		}
		args := []string{"build", "-o", binaryDir}
		if raceDetector {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, "github.com/grpc-sse/grpc-sse/cmd/grpc-sse")...).CombinedOutput()
		if err != nil {
			return "", errors.Join(err, errors.New(string(out)))
		}
		return filepath.Join(binaryDir, "grpc-sse"), nil
	})
)

// seed is what this run draws from. It is printed, so that the run can be made again.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := *seedFlag
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d", s)
	return s
}

// clients is how many clients there can be: fewer than wanted where this process, and the bridge that inherits its limit,
// may not open as many files.
func clients(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// The bridge leaves a tenth of its files to others, and a connection that was cut counts until the bridge has noticed.
	most, wanted := int(limit.Max*3/4), int(*clientsFlag)
	if most < wanted {
		t.Logf("%d clients, not %d: a process may open %d files here", most, wanted, limit.Max)
	}
	return min(most, wanted)
}

// guarded is the test's context, with an end.
func guarded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok. It is for what nothing announces.
func eventually(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}
