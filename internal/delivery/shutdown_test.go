package delivery_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

func TestShutdownWaitsForTheEnds(t *testing.T) {
	onShard(t, func(t *testing.T, o settings) {
		src := newSource()
		w := newWorld(t, o)
		c := w.connect(src, get).opened()
		began := time.Now()
		done := make(chan struct{})
		go func() {
			w.delivery.Shutdown(time.Minute)
			close(done)
		}()
		time.Sleep(10 * time.Second)
		src.add("last\n\n")
		src.end()
		<-done
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		c.reader.Discard(c.reader.Buffered())
		rest := make([]byte, 100)
		n, _ := c.reader.Read(rest)
		if got := strings.ReplaceAll(string(rest[:n]), ":\n\n", ""); got != "last\n\n" {
			t.Errorf("read %q", got)
		}
		if err := <-c.result; err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownResetsWhoIsLeft(t *testing.T) {
	onShard(t, func(t *testing.T, o settings) {
		o.Heartbeat, o.WriteTimeout = time.Hour, time.Hour
		w := newWorld(t, o)
		quiet, stuck := newSource(), newSource()
		idle, full := w.connect(quiet, get).opened(), w.connect(stuck, get).opened()
		stuck.add(big)
		synctest.Wait()
		began := time.Now()
		var both sync.WaitGroup
		for range 2 { // which is once too often
			both.Go(func() { w.delivery.Shutdown(5 * time.Second) })
		}
		both.Wait()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		idle.expectEnd("", false)
		full.expectEnd(big[:w.network.Size], false)
	})
}

// TestAfterShutdown: connections are no longer taken over; no shard is started any more.
func TestAfterShutdown(t *testing.T) {
	for name, before := range map[string]bool{"with shards": true, "without shards": false} {
		t.Run(name, func(t *testing.T) {
			onShard(t, func(t *testing.T, o settings) {
				w := newWorld(t, o)
				if before {
					src := newSource()
					src.end()
					w.connect(src, get).opened().expectEnd("", true)
				}
				w.delivery.Shutdown(0)
				src := newSource()
				src.end()
				w.others++
				w.connect(src, get).opened().expectEnd("", true)
				if !before && w.network.Pollers() != 0 {
					t.Error("shards were started that nobody ends")
				}
			})
		})
	}
}

// TestShutdownWhileOneIsTakenOver: who was let in before the last moment and comes to its shard after it is reset, too.
func TestShutdownWhileOneIsTakenOver(t *testing.T) {
	onShard(t, func(t *testing.T, o settings) {
		w := newWorld(t, o)
		src := newSource()
		src.opened = make(chan struct{})
		c := w.connect(src, get)
		synctest.Wait() // until Opening
		done := make(chan struct{})
		go func() {
			w.delivery.Shutdown(0)
			close(done)
		}()
		synctest.Wait()
		close(src.opened)
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("Shutdown waits for a connection that came too late")
		}
		c.opened().expectEnd("", false)
		src.end()
		<-done
	})
}

// TestShutdownAndConnectionsAtOnce: whatever comes first, nothing is left, and nobody waits for ever.
func TestShutdownAndConnectionsAtOnce(t *testing.T) {
	for range 100 {
		onShard(t, func(t *testing.T, o settings) {
			w := newWorld(t, o)
			w.unsettled = true
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					src := newSource()
					src.end()
					<-w.connect(src, get).result
				})
			}
			all.Go(func() { w.delivery.Shutdown(0) })
			all.Wait()
		})
	}
}

var _ delivery.Owner = (*owner)(nil)
