package conformance_test

import (
	"flag"
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

// TestConformance runs every case against a bridge of its setup, or against what the flags name.
func TestConformance(t *testing.T) {
	cases, setups, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	endpoint := startBackend(t).endpoint
	if *endpointURL != "" {
		endpoint = running(t)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if *endpointURL != "" && c.SetupName() != "default" {
				t.Skipf("needs the setup %s", c.Setup)
			}
			e, err := endpoint(setups[c.SetupName()])
			if err != nil {
				t.Fatalf("setup %s: %v", c.SetupName(), err)
			}
			if err := conformance.Run(t.Context(), c, e); err != nil {
				t.Errorf("%s\n%v", c.About, err)
			}
		})
	}
}

// running is the endpoint that the flags name.
func running(t *testing.T) func(conformance.Setup) (conformance.Endpoint, error) {
	t.Helper()
	conn, err := grpc.NewClient(*backendAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	e := conformance.Endpoint{
		URL: *endpointURL, Backend: scriptv1.NewControlServiceClient(conn), Logs: scriptv1.NewLogServiceClient(conn),
	}
	return func(conformance.Setup) (conformance.Endpoint, error) { return e, nil }
}
