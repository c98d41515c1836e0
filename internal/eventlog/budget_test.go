package eventlog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var kilobyte = strings.Repeat("k", 1024)

func TestBudgetCountsToTheByte(t *testing.T) {
	b := eventlog.NewBudget(64 << 20)
	l := newLog(eventlog.Options{Budget: b, Limits: eventlog.Limits{Age: time.Hour, Events: 50, Bytes: 1 << 20}})
	add(l, 1000, kilobyte)
	_, last := l.Bounds()
	l.Written(last)
	add(l, 10, kilobyte)
	if b.Used() < 50<<10 || b.Used() > 300<<10 {
		t.Fatalf("%d bytes in use", b.Used())
	}
	l.Close()
	l.Close()
	if b.Used() != 0 {
		t.Fatalf("%d bytes in use after Close", b.Used())
	}
}

func TestBudgetTakesSealedLogsOldestFirst(t *testing.T) {
	b := eventlog.NewBudget(1 << 20)
	now := time.Unix(0, 0)
	var evicted []string
	sealed := func(name string) *eventlog.Log {
		l := newLog(eventlog.Options{Budget: b, Evicted: func() { evicted = append(evicted, name) }, Now: func() time.Time { return now }})
		add(l, 300, kilobyte)
		now = now.Add(time.Second)
		l.Seal()
		return l
	}
	sealed("old")
	sealed("read").Attach()
	sealed("new")
	live := newLog(eventlog.Options{Budget: b})
	add(live, 250, kilobyte)
	if strings.Join(evicted, ",") != "old" {
		t.Fatalf("evicted %v", evicted)
	}
	add(live, 300, kilobyte)
	if strings.Join(evicted, ",") != "old,new" {
		t.Fatalf("evicted %v", evicted)
	}
	if first, _ := live.Bounds(); first != 100 {
		t.Fatalf("unsent records were taken: log begins at %d", first)
	}
}

func TestBudgetTakesSentPartsThenStopsTheWriter(t *testing.T) {
	b := eventlog.NewBudget(1 << 20)
	l := newLog(eventlog.Options{Budget: b})
	add(l, 900, kilobyte)
	l.Written(1000)
	if b.Full() {
		t.Fatal("full although the sent part could go")
	}
	add(l, 600, kilobyte)
	if first, _ := l.Bounds(); first <= 100 || first > 1000-256 {
		t.Fatalf("log begins at %d", first)
	}
	add(l, 400, kilobyte)
	if !b.Full() {
		t.Fatalf("not full with %d bytes", b.Used())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.WaitRoom(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("WaitRoom = %v, want it to wait", err)
	}
	empty := newLog(eventlog.Options{Budget: b})
	if err := empty.WaitRoom(t.Context()); err != nil {
		t.Fatalf("an empty log has to wait: %v", err)
	}
	newest := newLog(eventlog.Options{Budget: b, Mode: eventlog.Newest})
	add(newest, 1, "x")
	if err := newest.WaitRoom(t.Context()); !errors.Is(err, eventlog.ErrBudget) {
		t.Fatalf("WaitRoom of a log that never waits = %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- newLogWith(b).WaitRoom(t.Context()) }()
	l.Close()
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
}

func newLogWith(b *eventlog.Budget) *eventlog.Log {
	l := newLog(eventlog.Options{Budget: b})
	add(l, 1, "x")
	return l
}
