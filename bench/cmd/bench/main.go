// Command bench measures grpc-sse beside its rivals and beside what the kernel allows, on this machine. Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/grpc-sse/grpc-sse/bench/internal/bridge"
	"github.com/grpc-sse/grpc-sse/bench/internal/report"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/rivals"
	"github.com/grpc-sse/grpc-sse/bench/internal/scenario"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type settings struct {
	short     bool
	scenarios *regexp.Regexp
	targets   *regexp.Regexp
	repeat    int
	out       string
	list      bool
}

func parse(args []string) (s settings, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&s.short, "short", false, "measure for a shorter time, and once")
	flags.BoolVar(&s.list, "list", false, "list scenarios and targets, and end")
	which := flags.String("scenario", "", "only scenarios whose name matches this regular `expression`")
	against := flags.String("target", "", "only targets whose name matches this regular `expression`")
	flags.IntVar(&s.repeat, "repeat", 0, "`rounds` of each experiment (default 3, with -short 1)")
	flags.StringVar(&s.out, "out", "", "write results into this `folder` (default: do not write)")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.scenarios, err = regexp.Compile(*which); err != nil {
		return s, err
	}
	if s.targets, err = regexp.Compile(*against); err != nil {
		return s, err
	}
	if s.repeat == 0 {
		s.repeat = 3
		if s.short {
			s.repeat = 1
		}
	}
	return s, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	makers := slices.DeleteFunc(append([]target.Maker{bridge.Maker()}, rivals.Makers()...), func(m target.Maker) bool {
		return !s.targets.MatchString(m.Name)
	})
	if s.list {
		return list(out, makers)
	}
	repo, err := root(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "grpc-sse-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	kind, size := result.Full, scenario.Full()
	if s.short {
		kind, size = result.Short, scenario.Short()
	}
	for _, m := range makers {
		if m.Missing != nil && m.Missing() != "" {
			fmt.Fprintf(out, "%s is left out: %s\n", m.Name, m.Missing())
		}
	}
	found := result.New(ctx, kind, repo)
	runner := scenario.Runner{Makers: makers, Scenarios: s.scenarios, Size: size, Repeat: s.repeat, Repo: repo, Dir: dir, Out: out}
	failed := runner.Run(ctx, found)
	if len(found.Rows) == 0 {
		return errors.Join(failed, errors.New("nothing was measured"))
	}
	if err := report.Show(out, found); err != nil {
		return errors.Join(failed, err)
	}
	if s.out != "" {
		file, err := result.Save(s.out, found)
		if err != nil {
			return errors.Join(failed, err)
		}
		fmt.Fprintln(out, file)
	}
	return failed
}

// root is the folder of the project's clone: the one above bench/, in which the working directory is.
func root(ctx context.Context) (string, error) {
	mod, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(string(mod)), " ")
	if path != module {
		return "", fmt.Errorf("this is in the module %s; run it in bench/", path)
	}
	return filepath.Dir(dir), nil
}

const module = "github.com/grpc-sse/grpc-sse/bench"

func list(out io.Writer, makers []target.Maker) error {
	for _, m := range makers {
		fmt.Fprintln(out, "target  ", m.Name)
	}
	for _, e := range scenario.Experiments() {
		for _, s := range e.Shows {
			fmt.Fprintf(out, "scenario %-14s %s\n", s.Name, s.Title)
		}
	}
	return nil
}
