package postgres_test

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres"
)

// What a server or a child sends finds a defect in a mask: that connection ends, and the daemon, which this process stands for, does not.
func TestAttack67_ADefectEndsItsConnectionOnly(t *testing.T) {
	var on atomic.Bool
	x := front(t, server.URL(""), func(o *postgres.Options) {
		mask := o.Mask
		o.Mask = func(w io.Writer) io.WriteCloser {
			if on.Load() {
				panic("canary-4417 in a panic")
			}
			return mask(w)
		}
	})
	c := connect(t, x.url)
	on.Store(true)
	if _, err := c.Exec(t.Context(), "SELECT 1"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
	x.awaitKinds(t, "opened closed:internal")
	on.Store(false)
	var one int
	if err := connect(t, x.url).QueryRow(t.Context(), "SELECT 1").Scan(&one); err != nil || one != 1 {
		t.Errorf("%d %v", one, err)
	}
}

// A record that panics is one that fails: nothing happens without it.
func TestAttack67_ADefectOfTheRecord(t *testing.T) {
	x := front(t, server.URL(""), func(o *postgres.Options) { o.Record = func(postgres.Event) error { panic("canary-4417 in a panic") } })
	refused(t, x.url, "58000", "could not be recorded")
	if err := x.Close(); err == nil {
		t.Error("nobody would know")
	}
}
