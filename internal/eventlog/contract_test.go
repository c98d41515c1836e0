package eventlog_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/eventlog/eventlogtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	eventlogtest.Run(t, func(o eventlog.Options) eventlogtest.Log { return eventlog.New(o) })
}
