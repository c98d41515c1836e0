package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
	"github.com/grpc-sse/grpc-sse/internal/demo"
	"github.com/grpc-sse/grpc-sse/internal/demo/page"
)

const demoLong = `Start an example backend, a bridge in front of it and a page that shows its streams: they can be cut there with a
button, and are seen to resume without a gap.`

// demoFlags are where the parts of the demo listen.
type demoFlags struct {
	listen, bridge, backend, level string
}

func newDemo(e env) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:               "demo",
		Short:             "Start an example backend, a bridge and a page to watch streams with",
		Long:              demoLong,
		Example:           "  grpc-sse demo\n  grpc-sse demo --listen 127.0.0.1:3000 --bridge 127.0.0.1:0 --backend 127.0.0.1:0",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), e, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the page, `HOST:PORT`; port 0 is any free one, here and below")
	flags.StringVar(&f.bridge, "bridge", "127.0.0.1:8081", "address of the bridge, `HOST:PORT`")
	flags.StringVar(&f.backend, "backend", "127.0.0.1:9090", "address of the backend, `HOST:PORT`")
	flags.StringVar(&f.level, "log-level", "warn", "lowest `LEVEL` that is logged: debug, info, warn or error")
	for name, values := range map[string][]string{"listen": nil, "bridge": nil, "backend": nil, "log-level": logLevels} {
		must(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	return cmd
}

// runDemo runs the three parts until ctx ends or one fails. They end from the front to the back, except that the page
// outlives the bridge, whose last frames pass through it.
func runDemo(ctx context.Context, e env, f demoFlags) error {
	backend, err := demoListen(ctx, "--backend", f.backend)
	if err != nil {
		return err
	}
	defer backend.Close()
	front, err := demoListen(ctx, "--listen", f.listen)
	if err != nil {
		return err
	}
	defer front.Close()
	// The bridge listens by itself, and would blame a flag that is another one here.
	probe, err := demoListen(ctx, "--bridge", f.bridge)
	if err != nil {
		return err
	}
	_ = probe.Close()
	settings, err := demoSettings(f, backend.Addr().String())
	if err != nil {
		return err
	}
	logger := newLogger(e.stderr, settings.Log)
	table := &signal{written: make(chan struct{})}
	b, err := bridge.New(settings, bridge.Options{Logger: logger, Stdout: table})
	if err != nil {
		return err
	}
	return demoParts{backend: backend, front: front, bridge: b, routed: table.written, logger: logger}.run(ctx, e)
}

// signal is told by a first write, and drops what is written: the demo needs no table of routes, but to know when the
// bridge would print it.
type signal struct {
	once    sync.Once
	written chan struct{}
}

func (s *signal) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.written) })
	return len(p), nil
}

type demoParts struct {
	backend, front net.Listener
	bridge         *bridge.Bridge
	routed         <-chan struct{} // closed when the bridge has its routes
	logger         *slog.Logger
}

func (d demoParts) run(ctx context.Context, e env) error {
	ctx, stopBridge := context.WithCancel(ctx)
	defer stopBridge()
	others, stopOthers := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stopOthers()

	var backendErr, pageErr error
	parts.Go(func() {
		//nolint:contextcheck // Serve gets the context; New needs none
		backendErr = demo.NewServer(demo.Options{}).Serve(others, d.backend)
		stopBridge()
	})
	ended := make(chan struct{})
	parts.Go(func() {
		select {
		case <-ended:
			return // it could not start, or was ended before
		case <-d.routed:
		}
		p := page.New(page.Options{Bridge: d.bridge.Addr().String(), Logger: d.logger})
		writeWelcome(e, d.front.Addr(), d.bridge.Addr(), d.backend.Addr())
		pageErr = p.Serve(others, d.front)
		stopBridge()
	})
	bridgeErr := d.bridge.Run(ctx)
	close(ended)
	stopOthers()
	parts.Wait()
	return errors.Join(bridgeErr, backendErr, pageErr)
}

func demoListen(ctx context.Context, flag, address string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, usagef("%s: %q is not HOST:PORT", flag, address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (another address, or port 0 for any free one, may work)", flag, err)
	}
	return l, nil
}

// demoSettings are those of a bridge with one upstream. Its streams include one that never ends, so a long drain window
// would only keep who pressed Ctrl-C waiting.
func demoSettings(f demoFlags, backend string) (*config.Settings, error) {
	l := config.New()
	l.Config.Listen = f.bridge
	l.Set("listen", "--bridge")
	l.Config.Admin = config.AdminOff
	l.Config.Upstreams = []*configv1.Upstream{{Name: "demo", Target: backend}}
	l.Config.DrainWindow = durationpb.New(0)
	l.Config.Log = &configv1.Log{Level: f.level}
	l.Set("log.level", "--log-level")
	s, err := l.Resolve()
	if err != nil {
		return nil, usagef("%w", err)
	}
	return s, nil
}

func writeWelcome(e env, front, bridge, backend net.Addr) {
	fmt.Fprintf(e.stdout, `Open  http://%[1]s

The bridge is at http://%[2]s, the gRPC backend at %[3]s (with reflection and health). Without a browser:

  curl -N 'http://%[2]s/v1/prices'
  grpc-sse tail 'http://%[2]s/v1/chat?prompt=hello'
  grpc-sse routes --upstream %[3]s
  grpcurl -plaintext %[3]s list

Ctrl-C ends it.
`, front, bridge, backend)
}
