package cli

import (
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/grpc-sse/grpc-sse/internal/config"
)

// Settings are what the flags of serve make of args.
func Settings(args ...string) (*config.Settings, error) {
	cmd := &cobra.Command{Use: "serve"}
	f := addConfigFlags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	return f.load()
}

// ConfigFlags are the flags that stand for fields of the config file, each with its field.
func ConfigFlags() map[string]string {
	fields := map[string]string{}
	for _, flag := range addConfigFlags(&cobra.Command{Use: "serve"}).flags {
		fields[flag.name] = flag.field
	}
	return fields
}

// WriteVersion writes what `version` says of a binary that was built so.
func WriteVersion(w io.Writer, info *debug.BuildInfo) error {
	return writeVersion(w, buildOf(info), false)
}
