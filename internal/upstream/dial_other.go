//go:build !linux

package upstream

import (
	"context"
	"syscall"
)

// control does nothing: TCP_USER_TIMEOUT is Linux's.
func control(context.Context, string, string, syscall.RawConn) error { return nil }
