package delivery

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestStall: a write is given up when it has taken too long, however many there were before, and no other one is.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 20 * time.Second
		var given []time.Duration
		began := time.Now()
		var s stall
		s.init(timeout, func() { given = append(given, time.Since(began)) })
		time.Sleep(2 * timeout)
		for range 10 { // that are quick, with pauses; then parts of one
			s.begin()
			time.Sleep(timeout - 1)
			s.end()
			time.Sleep(timeout / 3)
		}
		for range 10 {
			s.begin()
			time.Sleep(timeout - 1)
		}
		s.end()
		time.Sleep(3 * timeout)
		s.begin()
		time.Sleep(timeout / 2)
		synctest.Wait()
		if len(given) != 0 {
			t.Fatalf("given up after %v", given)
		}
		s.end()
		s.begin()
		due := time.Since(began) + timeout
		time.Sleep(timeout + 1)
		synctest.Wait()
		if len(given) != 1 || given[0] != due {
			t.Errorf("given up after %v, want once after %v", given, due)
		}
		s.end()
		s.begin()
		s.stop()
		time.Sleep(3 * timeout)
		synctest.Wait()
		if len(given) != 1 {
			t.Error("given up after stop")
		}
	})
}
