package postgres_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/run/postgres"
)

// A child that has itself refused without end, by many connections at once, fills no record, and does not have the server lock the user out.
func TestAttack67_RefusalsAreBounded(t *testing.T) {
	x := front(t, server.URLOf("app", "canary-password-1", "sslmode=disable"), nil)
	start, limited := time.Now(), false
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 32 {
		all.Go(func() {
			for range 30 {
				_, err := pgx.Connect(t.Context(), x.url)
				mu.Lock()
				if err == nil {
					t.Error("let in")
				}
				limited = limited || strings.Contains(fmt.Sprint(err), "rate_limited")
				enough := limited || err == nil
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	all.Wait()
	most := 64 + 5*int(time.Since(start).Seconds()+1) // a busy machine refuses them slowly, and then it may be more
	if n := len(strings.Fields(x.kinds())); !limited || n < 64 || n > most {
		t.Errorf("%d of at most %d are recorded; limited: %v", n, most, limited)
	}
}

// Who waited for the outcome of others, and gave up, is neither refused nor recorded.
func TestWhoGaveUpIsNotRefused(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), func(o *postgres.Options) { o.StartupTimeout = time.Minute })
	begin := func() net.Conn {
		c := raw(t, x.addr)
		_, _ = c.Write(startup(3<<16, "user", "app", "database", "shop"))
		return c
	}
	var silent []net.Conn
	for range 64 {
		c := begin()
		if _, err := io.ReadFull(c, make([]byte, 9)); err != nil { // it is asked for the placeholder
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	for range 20 {
		_ = begin().Close()
	}
	for _, c := range silent {
		_ = c.Close()
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := pgx.Connect(t.Context(), x.url)
		if err == nil {
			_ = c.Close(context.Background())
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if n := strings.Count(x.kinds(), "denied"); n != 64 {
		t.Errorf("%d were refused: %s", n, x.kinds())
	}
}

// A defect counts as a refusal: it cannot be had without end either.
func TestAttack67_DefectsAreBounded(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), func(o *postgres.Options) {
		o.Dial = func(context.Context, string, string) (net.Conn, error) { panic("a defect") }
	})
	start := time.Now()
	for range 90 {
		if _, err := pgx.Connect(t.Context(), x.url); err == nil {
			t.Fatal("let in")
		}
	}
	if n, most := len(strings.Fields(x.kinds())), 64+5*int(time.Since(start).Seconds()+1); n > most {
		t.Errorf("%d of at most %d", n, most)
	}
}
