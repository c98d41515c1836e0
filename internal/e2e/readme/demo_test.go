package readme_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// tools makes a folder of commands for a PATH: grpc-sse, built as the README says, and grpcurl, which is the pinned one.
func tools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "grpc-sse"), "./cmd/grpc-sse")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	grpcurl := fmt.Sprintf("#!/bin/sh\ncd %s && exec go tool -modfile=tools/grpcurl.mod grpcurl \"$@\"\n", absolute(t, root))
	if err := os.WriteFile(filepath.Join(dir, "grpcurl"), []byte(grpcurl), 0o755); err != nil {
		t.Fatal(err)
	}
	// The first run builds it, which can take long.
	if out, err := exec.Command(filepath.Join(dir, "grpcurl"), "-version").CombinedOutput(); err != nil {
		t.Fatalf("grpcurl: %v\n%s", err, out)
	}
	// What a terminal shows of curl: no progress, but errors.
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte("silent\nshow-error\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// environment is that of commands that use the tools.
func environment(tools string) []string {
	return []string{"PATH=" + tools + ":" + os.Getenv("PATH"), "CURL_HOME=" + tools, "NO_COLOR=1", "GOFLAGS="}
}

// demo is where the parts of a running demo listen, HOST:PORT.
type demo struct{ page, bridge, backend string }

var welcome = regexp.MustCompile(`(?s)Open  http://(\S+)\n.*The bridge is at http://(\S+), the gRPC backend at (\S+) .*Ctrl-C ends it\.`)

// startDemo runs `grpc-sse demo` on free ports until the test ends.
func startDemo(t *testing.T, tools string) demo {
	t.Helper()
	p := start(t, t.TempDir(), environment(tools), "exec grpc-sse demo --listen 127.0.0.1:0 --bridge 127.0.0.1:0 --backend 127.0.0.1:0")
	var d demo
	err := p.await(func(printed string) error {
		m := welcome.FindStringSubmatch(printed)
		if m == nil {
			return errors.New("printed no addresses: " + printed)
		}
		d = demo{m[1], m[2], m[3]}
		return nil
	})
	if err != nil {
		t.Fatalf("grpc-sse demo: %v", err)
	}
	return d
}
