package result

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine says in one line what was measured on: cores, processor, memory, kernel, Go. It names no host.
func Machine() string {
	parts := []string{fmt.Sprintf("%d × %s", runtime.NumCPU(), processor())}
	if memory := memoryGiB(); memory > 0 {
		parts = append(parts, fmt.Sprintf("%d GiB", memory))
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		parts = append(parts, "Linux "+release(string(kernel)))
	}
	return strings.Join(append(parts, "Go "+strings.TrimPrefix(runtime.Version(), "go")), ", ")
}

// release is the version of a kernel without what a distribution or a provider adds: that can tell who runs it.
func release(kernel string) string {
	version, _, _ := strings.Cut(strings.TrimSpace(kernel), "-")
	return version
}

func processor() string {
	if name := field("/proc/cpuinfo", "model name"); name != "" {
		return strings.Join(strings.Fields(name), " ")
	}
	return runtime.GOARCH
}

func memoryGiB() int {
	kib, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64)
	if err != nil {
		return 0
	}
	return int(math.Round(kib / (1 << 20)))
}

// field reads the first "key: value" line of a file of /proc.
func field(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// New begins a run of a kind: today, on this machine, of the commit in dir.
func New(ctx context.Context, kind Kind, dir string) *Run {
	return &Run{Date: time.Now().UTC().Format(time.DateOnly), Machine: Machine(), Version: commit(ctx, dir), Kind: kind}
}

// commit is the short name of the commit in dir, with a + when files differ from it; "unknown" outside a clone.
func commit(ctx context.Context, dir string) string {
	name, err := git(ctx, dir, "rev-parse", "--short=10", "HEAD")
	if err != nil {
		return "unknown"
	}
	// What was measured is what counts: results and documents may differ.
	changed, err := git(ctx, dir, "status", "--porcelain", "--untracked-files=no", "--", "*.go", "*.mod", "*.proto")
	if err != nil || changed != "" {
		name += "+"
	}
	return name
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output() //nolint:gosec // the arguments are those above
	return strings.TrimSpace(string(out)), err
}
