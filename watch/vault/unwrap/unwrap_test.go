package unwrap

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// One source at a time unwraps. Others wait for that, and get the token; where the attempt has failed the next one unwraps.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		if token, ok := m.Begin(t.Context(), "wrapping"); token != "" || !ok {
			t.Fatalf("got %q, %t", token, ok)
		}
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := m.Begin(limited, "wrapping"); ok || !errors.Is(limited.Err(), context.DeadlineExceeded) {
			t.Error("two sources unwrap at a time")
		}

		outcomes := make(chan string, 2)
		for range 2 {
			go func() {
				token, _ := m.Begin(t.Context(), "wrapping")
				outcomes <- token
			}()
		}
		synctest.Wait()
		m.End("wrapping", "")
		if token := <-outcomes; token != "" {
			t.Errorf("got %q after an attempt that failed", token)
		}
		m.End("wrapping", "token")
		if token := <-outcomes; token != "token" {
			t.Errorf("got %q", token)
		}
		if token, ok := m.Begin(t.Context(), "other"); token != "" || !ok {
			t.Errorf("another wrapping token stands for %q, %t", token, ok)
		}
		m.End("other", "")
	})
}
