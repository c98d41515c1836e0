package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/grpc-sse/grpc-sse/internal/config"
	"github.com/grpc-sse/grpc-sse/internal/routetable"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// reflectPause is the pause between two tries to reach a backend.
const reflectPause = 250 * time.Millisecond

const routesLong = `Read the schemas and print the table of routes that serve would have: for each method its HTTP verbs and paths, its
event types and a curl command, and what is left out, why, and the flag that exposes it. Nothing is served.

It takes the flags of serve. The exit code is 1 when a backend cannot be read or the routes contradict each other.`

func newRoutes(e env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Print the table of routes without serving",
		Long:  routesLong,
		Example: "  grpc-sse routes --upstream localhost:9090\n" +
			"  grpc-sse routes --upstream prices:9090 --descriptor-set prices.binpb",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	timeout := cmd.Flags().Duration("timeout", 10*time.Second, "wait this long for backends that cannot be reached yet")
	must(cmd.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions))
	f := addConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return usagef("--timeout: %v is no time to wait; give one above 0", *timeout)
		}
		settings, err := f.load()
		if err != nil {
			return err
		}
		return routes(cmd.Context(), e, settings, *timeout)
	}
	return cmd
}

// routes prints the table of what could be read, and returns an error for what could not.
func routes(ctx context.Context, e env, s *config.Settings, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	schemas, failed := readSchemas(ctx, s.Upstreams, timeout)
	if len(schemas) == 0 {
		return failed
	}
	table, err := schema.NewTable(schemas, schema.Options{Expose: s.Expose, Rules: s.Rules, Partial: failed != nil})
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, warning := range table.Warnings() {
		fmt.Fprintf(e.stderr, "grpc-sse: warning: %s\n", warning)
	}
	return errors.Join(failed, routetable.Write(e.stdout, table, routetable.BaseURL(s.Listen)))
}

// readSchemas reads all schemas at once, in the order of the upstreams. The error joins what could not be read.
func readSchemas(ctx context.Context, upstreams []config.Upstream, timeout time.Duration) ([]*schema.Schema, error) {
	read := make([]*schema.Schema, len(upstreams))
	errs := make([]error, len(upstreams))
	var all sync.WaitGroup
	for i, u := range upstreams {
		all.Go(func() {
			if read[i], errs[i] = readSchema(ctx, u, timeout); errs[i] != nil {
				errs[i] = fmt.Errorf("upstream %s: %w", label(u), errs[i])
			}
		})
	}
	all.Wait()
	var schemas []*schema.Schema
	for _, s := range read {
		if s != nil {
			schemas = append(schemas, s)
		}
	}
	return schemas, errors.Join(errs...)
}

// label names an upstream, with its target where that is not its name.
func label(u config.Upstream) string {
	if u.Name == u.Target {
		return u.Name
	}
	return fmt.Sprintf("%s (%s)", u.Name, u.Target)
}

// readSchema reads one schema, and tries again while the backend cannot be reached.
func readSchema(ctx context.Context, u config.Upstream, timeout time.Duration) (*schema.Schema, error) {
	if u.DescriptorSet != nil {
		s, err := schema.FromDescriptorSet(u.DescriptorSet, u.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.DescriptorSetFile, err)
		}
		return s, nil
	}
	up, err := upstream.New(upstream.Options{Name: u.Name, Target: u.Target, TLS: u.TLS, Metadata: u.Metadata})
	if err != nil {
		return nil, err
	}
	defer func() { _ = up.Close() }() // only says that it was closed before
	var last error
	for {
		s, err := schema.Reflect(ctx, up.Conn(), u.Name)
		if err == nil {
			return s, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if code := status.Code(err); code != codes.Unavailable && ctx.Err() == nil {
			return nil, last
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fmt.Errorf("not reached within %v: %w", timeout, last)
			}
			return nil, ctx.Err()
		case <-time.After(reflectPause):
		}
	}
}
