package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

const serveLong = `Serve gRPC services over HTTP: server-streaming methods as Server-Sent Events, unary methods as JSON.

What is served is what has a google.api.http rule or a (grpcsse.v1.stream) option, and what --expose names. The table
of routes is printed when the schemas have been read; the log goes to standard error.

Every flag has a field in the config file, and the file has more: TLS to a backend, credentials, rules for single
methods, further limits. A flag that is given wins over the file, and a flag that may be repeated replaces the file's list.

SIGTERM or SIGINT ends it cleanly within --drain-window; a second one ends it at once.`

func newServe(e env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve gRPC services as Server-Sent Events and JSON",
		Long:  serveLong,
		Example: "  grpc-sse serve --upstream localhost:9090\n" +
			"  grpc-sse serve --upstream localhost:9090 --expose 'acme.prices.v1.Prices/*'\n" +
			"  grpc-sse serve --upstream prices=prices:9090 --upstream chat=dns:///chat:9090\n" +
			"  grpc-sse serve --config grpc-sse.yaml --listen :8080",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := addConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := f.load()
		if err != nil {
			return err
		}
		return serve(cmd.Context(), e, settings)
	}
	return cmd
}

// serve runs a bridge until ctx ends and it has drained.
func serve(ctx context.Context, e env, settings *config.Settings) error {
	b, err := bridge.New(settings, bridge.Options{Logger: newLogger(e.stderr, settings.Log), Stdout: e.stdout})
	if err != nil {
		return err
	}
	return b.Run(ctx)
}
