// Command report makes docs/performance.md and its charts from bench/results. Run it in bench/.
//
//	report          write them
//	report -check   fail when they are not what the results give
//	report -micro   read the output of `go test -bench`, and write the results that it gives
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/grpc-sse/grpc-sse/bench/internal/report"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// root is that of the clone.
const root = ".."

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	check := flags.Bool("check", false, "write nothing; fail when a document is stale")
	micro := flags.Bool("micro", false, "read the output of go test -bench and keep its figures; write no document")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *micro:
		found := result.New(ctx, result.Micro, root)
		if err := report.AddMicro(found, io.TeeReader(stdin, stdout)); err != nil {
			return err
		}
		if len(found.Rows) == 0 {
			return errors.New("no benchmark was run")
		}
		file, err := result.Save(filepath.Join(root, report.Results), found)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, file)
		return nil
	case *check:
		stale, err := report.Stale(root)
		if err != nil {
			return err
		}
		if len(stale) > 0 {
			return fmt.Errorf("%s: stale; run: make bench-report", strings.Join(stale, ", "))
		}
		return nil
	default:
		return report.Write(root)
	}
}
