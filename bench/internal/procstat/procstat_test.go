package procstat_test

import (
	"os"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
)

func TestCPUIsWhatAProcessUsed(t *testing.T) {
	self := []int{os.Getpid()}
	before, err := procstat.CPU(self)
	if err != nil {
		t.Fatal(err)
	}
	const work = 30 * time.Millisecond
	for used := time.Duration(0); used < work; {
		now, err := procstat.CPU(self)
		if err != nil {
			t.Fatal(err)
		}
		used = now - before
	}
	if _, err := procstat.CPU([]int{1 << 22}); err == nil {
		t.Error("a process that is not there has used CPU time")
	}
}

func TestAnonymousGrowsWithMemory(t *testing.T) {
	self := []int{os.Getpid()}
	before, err := procstat.Anonymous(self)
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	memory := make([]byte, size)
	for i := range memory {
		memory[i] = 1
	}
	after, err := procstat.Anonymous(self)
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size*9/10 || grown > 2*size {
		t.Errorf("%d bytes more were taken, %d were counted", len(memory), grown)
	}
	if memory[size-1] != 1 {
		t.Error("the memory was not used")
	}
}
