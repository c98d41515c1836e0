package conformance_test

import (
	"flag"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/grpc-sse/grpc-sse/conformance"
	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

var (
	endpointURL = flag.String("endpoint", "", "base `URL` of a running endpoint to test; only cases of the setup \"default\" are run then")
	backendAddr = flag.String("backend", "", "`HOST:PORT` of that endpoint's backend, a scriptd")
)

func TestMain(m *testing.M) {
	// Cases wait for one another's clocks and sockets, not for the processor.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// TestConformance runs every case on every path that it holds over, against a bridge of its setup, or against what the
// flags name.
func TestConformance(t *testing.T) {
	cases, setups, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	endpoint := startBackend(t).endpoint
	if *endpointURL != "" {
		endpoint = running(t)
	}
	for _, path := range conformance.Paths {
		if *endpointURL != "" && strings.HasPrefix(*endpointURL, "https:") != (path == conformance.TLS) {
			continue
		}
		// One path after the other: some cases wait for short times, which all paths at once would be too much for.
		t.Run(string(path), func(t *testing.T) {
			for _, c := range cases {
				setup := setups[c.SetupName()]
				if !c.Holds(setup, path) {
					continue
				}
				t.Run(c.Name, func(t *testing.T) {
					t.Parallel()
					if *endpointURL != "" && c.SetupName() != "default" {
						t.Skipf("needs the setup %s", c.Setup)
					}
					e, err := endpoint(setup, path)
					if err != nil {
						t.Fatalf("setup %s: %v", c.SetupName(), err)
					}
					if err := conformance.Run(t.Context(), c, e); err != nil {
						t.Errorf("%s\n%v", c.About, err)
					}
				})
			}
		})
	}
}

// running is the endpoint that the flags name.
func running(t *testing.T) func(conformance.Setup, conformance.Path) (conformance.Endpoint, error) {
	t.Helper()
	conn, err := grpc.NewClient(*backendAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	e := conformance.Endpoint{
		URL: *endpointURL, Backend: scriptv1.NewControlServiceClient(conn), Logs: scriptv1.NewLogServiceClient(conn),
	}
	return func(_ conformance.Setup, path conformance.Path) (conformance.Endpoint, error) {
		e := e
		e.Path = path
		return e, nil
	}
}
