// Package procstat reads what processes use: processor time and memory. Linux only.
package procstat

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that the processes have used, user and system, of all their threads, also of those that have
// ended.
func CPU(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		// The clock of another process's CPU time, as clock_getcpuclockid(3) makes it: exact to the nanosecond, where
		// /proc/PID/stat counts hundredths of a second.
		const sched = 2
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
			return 0, fmt.Errorf("process %d: %w", pid, os.NewSyscallError("clock_gettime", err))
		}
		sum += time.Duration(t.Nano())
	}
	return sum, nil
}

// Anonymous is the memory in bytes that belongs to the processes alone: no files, and nothing of the kernel's.
func Anonymous(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		kib, err := status(pid, "RssAnon:")
		if err != nil {
			return 0, err
		}
		sum += kib << 10
	}
	return sum, nil
}

// status is a number of /proc/PID/status.
func status(pid int, key string) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if fields := bytes.Fields(lines.Bytes()); len(fields) > 1 && string(fields[0]) == key {
			return strconv.ParseInt(string(fields[1]), 10, 64)
		}
	}
	return 0, fmt.Errorf("process %d: its status has no %s", pid, key)
}

// Files is how many files this process, and each that it starts, may have open. It raises the limit as far as it may.
func Files() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("setrlimit", err)
	}
	return int(min(limit.Max, 1<<30)), nil
}
