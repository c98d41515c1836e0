//go:build !linux

// Package kernel is the limit of what delivering costs. It needs Linux.
package kernel

import (
	"context"
	"errors"
	"os"
)

// MostJoined is how many events Serve can write at once.
const MostJoined = 16

// Serve fails.
func Serve(context.Context, *os.File, int) error { return errors.New("needs Linux") }
