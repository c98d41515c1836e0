package cli_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/cli"
)

func TestHelp(t *testing.T) {
	for name, args := range map[string][]string{
		"help.txt":        {"--help"},
		"help-serve.txt":  {"serve", "--help"},
		"help-routes.txt": {"help", "routes"},
		"help-demo.txt":   {"demo", "--help"},
		"help-version.txt": {
			"version", "--help",
		},
	} {
		got := run(t.Context(), args...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%v: %+v", args, got)
		}
		golden(t, name, got.stdout)
		for line := range strings.Lines(got.stdout) {
			if len([]rune(line)) > 131 {
				t.Errorf("%s: a line of %d columns: %s", name, len(line), line)
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		args string
		want string // on standard error
	}{
		{"bogus", "grpc-sse: unknown command \"bogus\" for \"grpc-sse\"\nRun 'grpc-sse --help' for usage.\n"},
		{"serv", "grpc-sse: unknown command \"serv\" for \"grpc-sse\"\n\nDid you mean this?\n\tserve\n\nRun 'grpc-sse --help' for usage.\n"},
		{"serve --lissten :1", "grpc-sse: unknown flag: --lissten\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve a:1", "grpc-sse: unknown command \"a:1\" for \"grpc-sse serve\"\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve", "grpc-sse: no upstream: nothing to serve; name a gRPC server, for example:\n\n  grpc-sse serve --upstream localhost:9090\n\nRun 'grpc-sse serve --help' for usage.\n"},
		{"routes", "grpc-sse: no upstream: nothing to serve; name a gRPC server, for example:\n\n  grpc-sse routes --upstream localhost:9090\n\nRun 'grpc-sse routes --help' for usage.\n"},
		{"routes --upstream a:1 --timeout 0s", "grpc-sse: --timeout: 0s is no time to wait; give one above 0\nRun 'grpc-sse routes --help' for usage.\n"},
		{"serve --drain-window 5", "grpc-sse: invalid argument \"5\" for \"--drain-window\" flag: time: missing unit in duration \"5\"\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --drain-window 2h", "grpc-sse: --drain-window: must be greater than or equal to 0s and less than or equal to 3600s\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --log-bytes 5MB", "grpc-sse: --log-bytes: \"5MB\" is not a size; write a number of bytes, with k, M, G, Ki, Mi or Gi after it if you like\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --log-bytes 1k", "grpc-sse: --log-bytes: must be greater than or equal to 1048576\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --request-bytes 8Gi", "grpc-sse: --request-bytes: \"8Gi\" is too large; the largest is 4294967295 bytes\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --log-format xml", "grpc-sse: --log-format: must be in list [text, json]\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --log-level loud", "grpc-sse: --log-level: must be in list [debug, info, warn, error]\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --cors-origin https://x/", "grpc-sse: --cors-origin: \"https://x/\" is not an origin: nothing may follow the host and port, not even a slash; write https://x\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --cors-origin *", "grpc-sse: --cors-origin: \"*\" is not an origin: wildcards are not supported; list each origin in full, such as https://app.example.com\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --cors-credentials", "grpc-sse: --cors-credentials: has no effect without origins; list the origins that may send credentials\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --tls-cert a", "grpc-sse: --tls-cert: a certificate without its key; give key_file too\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --compression lzma", "grpc-sse: --compression: must be in list [gzip, zstd, br]\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --trusted-proxy proxy", "grpc-sse: --trusted-proxy: \"proxy\": not an address or a network; write, for example, 10.0.0.7, 10.0.0.0/8 or fd00::/8\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --expose prices", "grpc-sse: --expose: \"prices\" names no method; write pkg.Service/Method, pkg.Service/* or *\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --forward-metadata X-A", "grpc-sse: --forward-metadata: \"X-A\" cannot be forwarded: write it in lower case: x-a\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a", "grpc-sse: --upstream: \"a\" has no port; write, for example, a:9090\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a=", "grpc-sse: --upstream: \"a=\" names no server; write HOST:PORT or NAME=HOST:PORT\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream n=a:1 --upstream n=b:1", "grpc-sse: --upstream: \"n\" is the name of another upstream already (upstreams[0]); names must be unique, and an upstream without one is called by its target\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream a:1 --upstream b:1 --descriptor-set x", "grpc-sse: --descriptor-set: \"x\": there are several upstreams; write NAME=FILE with one of the names a:1, b:1\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream n=a:1 --descriptor-set m=x", "grpc-sse: --descriptor-set: \"m=x\": no upstream is called m; there is n (a path with an equals sign in its first part begins with ./)\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream n=a:1 --descriptor-set x --descriptor-set n=y", "grpc-sse: --descriptor-set: \"n=y\": upstream n has a descriptor set already\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream n=a:1 --descriptor-set n=", "grpc-sse: --descriptor-set: \"n=\" names no file; write FILE or NAME=FILE\nRun 'grpc-sse serve --help' for usage.\n"},
		{"serve --upstream n=a:1 --descriptor-set ./a=b/no", "grpc-sse: --descriptor-set: cannot read CWD/a=b/no: no such file or directory\nRun 'grpc-sse serve --help' for usage.\n"},
		{"demo --log-level loud", "grpc-sse: --log-level: must be in list [debug, info, warn, error]\nRun 'grpc-sse demo --help' for usage.\n"},
		{"demo --listen here", "grpc-sse: --listen: \"here\" is not HOST:PORT\nRun 'grpc-sse demo --help' for usage.\n"},
		{"version now", "grpc-sse: unknown command \"now\" for \"grpc-sse version\"\nRun 'grpc-sse version --help' for usage.\n"},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		if args[0] == "demo" {
			args = append(args, "--backend", "127.0.0.1:0", "--bridge", "127.0.0.1:0")
		}
		got := run(t.Context(), args...)
		want := strings.ReplaceAll(tt.want, "CWD", workingDir(t))
		if got.code != 2 || got.stdout != "" || got.stderr != want {
			t.Errorf("%s: exit %d\ngot  %q\nwant %q", tt.args, got.code, got.stdout+got.stderr, want)
		}
	}
}

func TestNoArguments(t *testing.T) {
	got := run(t.Context())
	if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, "Available Commands") {
		t.Errorf("%+v", got)
	}
}

func TestExitError(t *testing.T) {
	cause := errors.New("cause")
	err := error(&cli.ExitError{Code: 4, Err: cause})
	if err.Error() != "cause" || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if got := (&cli.ExitError{Code: 3}).Error(); got != "exit code 3" {
		t.Error(got)
	}
}

func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"serve --log-format ":     "text\njson\n:4\n",
		"serve --log-level=":      "debug\ninfo\nwarn\nerror\n:4\n",
		"serve --admin ":          "off\n:4\n",
		"serve --upstream ":       ":4\n",
		"serve --config ":         "yaml\nyml\njson\n:8\n", // the shell offers files with these endings
		"serve --descriptor-set ": ":0\n",                  // the shell offers files
		"serve ":                  ":4\n",
		"demo --log-level ":       "debug\ninfo\nwarn\nerror\n:4\n",
	} {
		got := run(t.Context(), append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if got.code != 0 || got.stdout != want {
			t.Errorf("%s: %+v, want %q", args, got, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := run(t.Context(), "completion", shell); got.code != 0 || !strings.Contains(got.stdout, "grpc-sse") {
			t.Errorf("%s: %d", shell, got.code)
		}
	}
}
