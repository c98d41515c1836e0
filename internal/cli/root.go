// Package cli is the command line of grpc-sse: one file for each verb.
//
// A verb is a function newVERB(env) that returns its command. What the command does takes its context from the command
// and its streams from env, never from package os, and returns an error; Main alone turns errors into exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes that all verbs share. A verb that needs others returns an ExitError.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// ExitError is an error with an exit code of its own.
type ExitError struct {
	// Code is the exit code.
	Code int
	// Err is what is printed; nil prints nothing, where the verb has said already why it ends so.
	Err error
}

// Error returns the text of Err.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// usagef makes the error of a command line that cannot be meant: it is printed together with where to find help, and
// the exit code is 2.
func usagef(format string, args ...any) error {
	return &ExitError{Code: exitUsage, Err: fmt.Errorf(format, args...)}
}

// env is what the verbs share.
type env struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// Main runs the command line args (without the program's name) and returns the exit code: 0 when all went well, 1 for a
// failure, 2 for a command line that is wrong, others where the verb says so. It ends early when ctx does.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	//nolint:contextcheck // the commands get it from ExecuteContextC
	root := newRoot(env{stdin: stdin, stdout: stdout, stderr: stderr})
	// Whatever fails before a command begins to run (an unknown command, a bad flag, a wrong number of arguments) is a
	// wrong command line; cobra has no type for it.
	running := false
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	root.SetArgs(append([]string{}, args...)) // for nil cobra would take those of the process
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	exit, ok := errors.AsType[*ExitError](err)
	switch {
	case !ok && running:
		exit = &ExitError{Code: exitFailure, Err: err}
	case !ok:
		exit = &ExitError{Code: exitUsage, Err: err}
	}
	if exit.Err == nil {
		return exit.Code
	}
	fmt.Fprintf(stderr, "grpc-sse: %v\n", err)
	if exit.Code == exitUsage {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", ran.CommandPath())
	}
	return exit.Code
}

func newRoot(e env) *cobra.Command {
	root := &cobra.Command{
		Use:   "grpc-sse",
		Short: "Serve server-streaming gRPC methods as resumable Server-Sent Events",
		Long: "grpc-sse stands in front of gRPC services, reads their descriptors and serves each server-streaming\n" +
			"method as a typed, resumable stream for the browser's EventSource.",
		Example: "  grpc-sse serve --upstream localhost:9090\n" +
			"  grpc-sse routes --upstream localhost:9090\n" +
			"  grpc-sse tail http://localhost:8080/v1/prices",
		// Args is not set: for the root, cobra then suggests the command that was meant.
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(e.stderr)
			if err := cmd.Help(); err != nil {
				return err
			}
			return &ExitError{Code: exitUsage}
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.AddCommand(
		newServe(e),
		newRoutes(e),
		newTail(e),
		newDemo(e),
		newVersion(e),
	)
	return root
}
