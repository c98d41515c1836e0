package cli_test

import (
	"encoding/json"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/cli"
)

func TestVersion(t *testing.T) {
	got := run(t.Context(), "version")
	if want := regexp.MustCompile(`^grpc-sse \S+ (\(.*\) )?` + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n$"); got.code != 0 || !want.MatchString(got.stdout) {
		t.Errorf("%+v", got)
	}
	got = run(t.Context(), "version", "--json")
	var fields map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &fields); err != nil || fields["go"] != runtime.Version() || fields["version"] == "" {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestVersionText(t *testing.T) {
	system := " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	commit := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-11-22T01:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	}
	for want, info := range map[string]*debug.BuildInfo{
		"grpc-sse unknown": nil,
		"grpc-sse v1.2.3":  {Main: debug.Module{Version: "v1.2.3"}},
		"grpc-sse (devel) (0123456789ab, 2026-11-22T01:00:00Z, modified)": {Main: debug.Module{Version: "(devel)"}, Settings: commit},
	} {
		var out strings.Builder
		if err := cli.WriteVersion(&out, info); err != nil || out.String() != want+system {
			t.Errorf("got %q, want %q", out.String(), want+system)
		}
	}
}
