package readme_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
)

// root is the folder of the README.
const root = "../../.."

var update = flag.Bool("update", false, "rewrite the screenshots")

var browsers browser.Set

func TestMain(m *testing.M) { goleak.VerifyTestMain(closing{m}) }

// closing ends the browsers before goroutines are counted.
type closing struct{ *testing.M }

func (c closing) Run() int {
	code := c.M.Run()
	if err := browsers.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
