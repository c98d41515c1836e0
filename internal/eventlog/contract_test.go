package eventlog_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/eventlog/eventlogtest"
)

func TestContract(t *testing.T) {
	eventlogtest.Run(t, func(o eventlog.Options) eventlogtest.Log { return eventlog.New(o) })
}
