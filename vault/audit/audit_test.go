package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// world is a vault with a log in a real store, and a clock that moves a second a record.
type world struct {
	t    testing.TB
	st   store.Store
	k    *keyring.Keyring
	book *record.Book
	log  *audit.Log
	now  time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := bolt.Create(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := keyring.Create([]age.Recipient{i.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	w := &world{t: t, st: st, k: k, now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	w.book = record.NewBook(k)
	w.log = w.writer("main")
	return w
}

func (w *world) writer(name string) *audit.Log {
	return audit.New(w.book, w.k, audit.Options{Writer: name, Clock: func() time.Time {
		w.now = w.now.Add(time.Second)
		return w.now
	}})
}

func event(n int) audit.Event {
	return audit.Event{
		Actor:  audit.Actor{Type: audit.Agent, ID: fmt.Sprintf("agt_%d", n%3), Name: fmt.Sprintf("bot%d", n%3), Door: "stdio"},
		Action: audit.LeaseUse, Outcome: audit.Allowed, Subject: fmt.Sprintf("lse_%d", n), Handle: "openai_main",
		Detail: map[string]string{"field": "key", "host": "api.example <&>"},
	}
}

func (w *world) add(l *audit.Log, events ...audit.Event) {
	w.t.Helper()
	err := w.st.Update(w.t.Context(), func(tx store.Tx) error {
		for _, e := range events {
			if err := l.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fill(n int) {
	for i := range n {
		w.add(w.log, event(i))
	}
}

func (w *world) list(f audit.Filter) (page []audit.Record, next string, err error) {
	err = w.st.View(w.t.Context(), func(tx store.Tx) error {
		page, next, err = w.log.List(tx, f)
		return err
	})
	return page, next, err
}

func (w *world) edit(fn func(tx store.Tx) error) {
	w.t.Helper()
	if err := w.st.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func key(writer string, seq int) string { return fmt.Sprintf("%s/%016x", writer, seq) }

func (w *world) raw(c store.Collection, k string) (b []byte) {
	w.t.Helper()
	w.edit(func(tx store.Tx) (err error) {
		b, err = tx.Get(c, k)
		b = bytes.Clone(b)
		return err
	})
	return b
}

func TestAChainHolds(t *testing.T) {
	w := newWorld(t)
	rep, err := w.log.Verify(t.Context(), w.st)
	if err != nil || rep.Records != 0 {
		t.Fatalf("an empty log: %+v %v", rep, err)
	}
	w.fill(10)
	second := w.writer("replica-2")
	w.add(second, event(1), event(2))
	rep, err = w.log.Verify(t.Context(), w.st)
	if err != nil || rep.Records != 12 || len(rep.Heads) != 2 || rep.Heads[0].Seq != 10 || rep.Heads[1].Seq != 2 || rep.VaultID != w.k.VaultID() {
		t.Fatalf("%+v %v", rep, err)
	}
	if err := w.book.Verify(t.Context(), w.st); err != nil {
		t.Error(err)
	}
}

func TestARecordIsDurableWithWhatItRecordsOrNeitherIs(t *testing.T) {
	w := newWorld(t)
	stop := errors.New("stop")
	err := w.st.Update(t.Context(), func(tx store.Tx) error {
		if err := w.log.Append(tx, event(1)); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	w.fill(1)
	page, _, err := w.list(audit.Filter{})
	if err != nil || len(page) != 1 || page[0].Seq != 1 {
		t.Errorf("%+v %v", page, err)
	}
}

// Every way to cover one's tracks in the database is found, by Verify of the log or of the book.
func TestEveryEditOfTheLogIsFound(t *testing.T) {
	swap := func(tx store.Tx, a, b string) error {
		x, err := tx.Get(audit.Records, a)
		if err != nil {
			return err
		}
		x = bytes.Clone(x)
		y, err := tx.Get(audit.Records, b)
		if err != nil {
			return err
		}
		return errors.Join(tx.Put(audit.Records, a, bytes.Clone(y)), tx.Put(audit.Records, b, x))
	}
	for name, fn := range map[string]func(w *world, tx store.Tx) error{
		"first removed":  func(_ *world, tx store.Tx) error { return tx.Delete(audit.Records, key("main", 1)) },
		"middle removed": func(_ *world, tx store.Tx) error { return tx.Delete(audit.Records, key("main", 5)) },
		"last removed":   func(_ *world, tx store.Tx) error { return tx.Delete(audit.Records, key("main", 9)) },
		"swapped":        func(_ *world, tx store.Tx) error { return swap(tx, key("main", 3), key("main", 4)) },
		"inserted":       func(_ *world, tx store.Tx) error { return tx.Put(audit.Records, key("main", 10), []byte("{}")) },
		"repeated at the end": func(_ *world, tx store.Tx) error {
			b, err := tx.Get(audit.Records, key("main", 9))
			return errors.Join(err, tx.Put(audit.Records, key("main", 10), b))
		},
		"another writer added": func(_ *world, tx store.Tx) error {
			b, err := tx.Get(audit.Records, key("main", 1))
			return errors.Join(err, tx.Put(audit.Records, key("evil", 1), b))
		},
		"a row of no chain": func(_ *world, tx store.Tx) error { return tx.Put(audit.Records, "Main/1", []byte("{}")) },
		"head removed":      func(_ *world, tx store.Tx) error { return tx.Delete(audit.Heads, "main") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(9)
			w.edit(func(tx store.Tx) error { return fn(w, tx) })
			if _, err := w.log.Verify(t.Context(), w.st); fault.CodeOf(err) != fault.AuditBroken {
				t.Errorf("verify: %v", err)
			}
			var out bytes.Buffer
			if _, err := w.log.Export(t.Context(), w.st, &out); fault.CodeOf(err) != fault.AuditBroken {
				t.Errorf("a broken chain is exported: %v", err)
			}
		})
	}
}

// An older head with the tail cut to fit is a chain that agrees with itself: the book's accounts know better.
func TestACutTailWithItsOldHeadIsFound(t *testing.T) {
	w := newWorld(t)
	w.fill(5)
	old := w.raw(audit.Heads, "main")
	w.fill(1)
	w.edit(func(tx store.Tx) error {
		return errors.Join(tx.Delete(audit.Records, key("main", 6)), tx.Put(audit.Heads, "main", old))
	})
	if err := w.book.Verify(t.Context(), w.st); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("%v", err)
	}
}

func TestEveryByteOfARecordCounts(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	w.edit(func(tx store.Tx) error {
		for seq := 1; seq <= 3; seq++ {
			line, err := tx.Get(audit.Records, key("main", seq))
			if err != nil {
				return err
			}
			line = bytes.Clone(line)
			for i := range line {
				bad := bytes.Clone(line)
				bad[i] ^= 1 << (i % 7)
				if err := tx.Put(audit.Records, key("main", seq), bad); err != nil {
					return err
				}
				if _, err := w.log.VerifyTx(t.Context(), tx); fault.CodeOf(err) != fault.AuditBroken {
					t.Fatalf("record %d byte %d: verify: %v", seq, i, err)
				}
				if _, _, err := w.log.List(tx, audit.Filter{}); fault.CodeOf(err) != fault.AuditBroken {
					t.Fatalf("record %d byte %d: list: %v", seq, i, err)
				}
			}
			if err := tx.Put(audit.Records, key("main", seq), line); err != nil {
				return err
			}
		}
		_, err := w.log.VerifyTx(t.Context(), tx)
		return err
	})
}

func TestCheckpointsAreKeptAndChecked(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		events := make([]audit.Event, 500)
		for i := range events {
			events[i] = event(i)
		}
		w.add(w.log, events...)
	}
	rep, err := w.log.Verify(t.Context(), w.st)
	if err != nil || rep.Checkpoints != 2 {
		t.Fatalf("%+v %v", rep, err)
	}
	w.edit(func(tx store.Tx) error { return tx.Delete(audit.Checkpoints, key("main", 1000)) })
	if err := w.book.Verify(t.Context(), w.st); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("a lost checkpoint: %v", err)
	}
	b := w.raw(audit.Checkpoints, key("main", 2000))
	w.edit(func(tx store.Tx) error {
		return tx.Put(audit.Checkpoints, key("main", 2000), bytes.Replace(b, []byte(`"main"`), []byte(`"mAin"`), 1))
	})
	if _, err := w.log.Verify(t.Context(), w.st); fault.CodeOf(err) != fault.RecordTampered {
		t.Errorf("an edited checkpoint: %v", err)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	w := newWorld(t)
	second := w.writer("second")
	for i := range 30 {
		l := w.log
		if i%4 == 0 {
			l = second
		}
		e := event(i)
		if i%5 == 0 {
			e.Outcome, e.Code, e.Action, e.Handle = audit.Denied, "not_permitted", audit.LeaseAllocate, "other"
		}
		w.add(l, e)
	}
	var all []audit.Record
	for cursor := ""; ; {
		page, next, err := w.list(audit.Filter{Limit: 7, Cursor: cursor})
		if err != nil || len(page) > 7 {
			t.Fatalf("%d rows, %v", len(page), err)
		}
		all = append(all, page...)
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(all) != 30 || !slices.IsSortedFunc(all, func(a, b audit.Record) int { return b.Time.Compare(a.Time) }) {
		t.Fatalf("%d rows, or not newest first", len(all))
	}
	for i, r := range all {
		if r.Subject != fmt.Sprintf("lse_%d", 29-i) {
			t.Fatalf("row %d is %s", i, r.Subject)
		}
	}
	for name, c := range map[string]struct {
		f    audit.Filter
		want int
	}{
		"action": {audit.Filter{Action: audit.LeaseAllocate}, 6}, "outcome": {audit.Filter{Outcome: audit.Denied}, 6},
		"actor by name": {audit.Filter{Actor: "bot1"}, 10}, "actor by id": {audit.Filter{Actor: "agt_1"}, 10}, "nobody": {audit.Filter{Actor: "x"}, 0},
		"handle": {audit.Filter{Handle: "other"}, 6}, "subject": {audit.Filter{Subject: "lse_3"}, 1}, "since": {audit.Filter{Since: all[9].Time}, 10},
		"in the future": {audit.Filter{Since: w.now.Add(time.Hour)}, 0}, "both": {audit.Filter{Actor: "bot0", Outcome: audit.Denied}, 2},
	} {
		page, next, err := w.list(c.f)
		if err != nil || len(page) != c.want || next != "" {
			t.Errorf("%s: %d rows, next %q, %v", name, len(page), next, err)
		}
	}
	for _, bad := range []string{"x", "e30=", "!!", strings.Repeat("A", 1<<20), "eyJBIjp7InMiOjF9fQ"} {
		if _, _, err := w.list(audit.Filter{Cursor: bad}); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("cursor %.10q: %v", bad, err)
		}
	}
	w.edit(func(tx store.Tx) error { return tx.Delete(audit.Records, key("main", 2)) })
	if _, _, err := w.list(audit.Filter{}); fault.CodeOf(err) != fault.AuditBroken {
		t.Errorf("a gap: %v", err)
	}
	w.edit(func(tx store.Tx) error { return tx.Delete(audit.Records, key("main", 1)) })
	if _, _, err := w.list(audit.Filter{}); fault.CodeOf(err) != fault.AuditBroken {
		t.Errorf("the beginning is gone: %v", err)
	}
}

func TestTextsAreTamed(t *testing.T) {
	w := newWorld(t)
	e := event(0)
	e.Handle = "a\x1b[31mred\u202egnp.exe\x00\xff\n"
	e.Actor.Context = strings.Repeat("é", 500)
	e.Detail = map[string]string{}
	for i := range 100 {
		e.Detail[fmt.Sprintf("k%02d\n", i)] = strings.Repeat("x", 1000)
	}
	w.add(w.log, e)
	page, _, err := w.list(audit.Filter{})
	if err != nil || len(page) != 1 {
		t.Fatal(err)
	}
	r := page[0]
	if r.Handle != "a[31mredgnp.exe" || len(r.Actor.Context) > 200 || len(r.Actor.Context) < 199 || len(r.Detail) > 16 || r.Detail["k00"] != strings.Repeat("x", 200) {
		t.Errorf("%+v", r)
	}
	if e.Detail["k00\n"] == "" {
		t.Error("the caller's map was changed")
	}
}

func TestAClockSetBackKeepsTheOrder(t *testing.T) {
	w := newWorld(t)
	w.fill(2)
	w.now = w.now.Add(-time.Hour)
	w.fill(1)
	page, _, err := w.list(audit.Filter{})
	if err != nil || page[0].Time.Before(page[1].Time) || page[0].Seq != 3 {
		t.Errorf("%+v %v", page, err)
	}
}

func TestDenialsFold(t *testing.T) {
	var d audit.Denials
	at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	if out := d.Fold(event(1), at); len(out) != 1 || out[0].Count != 1 {
		t.Fatalf("the first: %+v", out)
	}
	for range 5 {
		if out := d.Fold(event(1), at.Add(time.Second)); len(out) != 0 {
			t.Fatalf("the next: %+v", out)
		}
	}
	if out := d.Fold(event(2), at.Add(2*time.Second)); len(out) != 1 || out[0].Event.Subject != "lse_2" {
		t.Fatalf("another: %+v", out)
	}
	out := d.Flush(at.Add(time.Minute))
	if len(out) != 1 || out[0].Count != 5 || out[0].Event.Subject != "lse_1" {
		t.Fatalf("a minute later: %+v", out)
	}
	if out := d.Fold(event(1), at.Add(time.Minute)); len(out) != 1 {
		t.Fatalf("anew: %+v", out)
	}
	total := uint64(0)
	for i := range 5000 {
		for _, f := range d.Fold(event(i), at.Add(time.Minute)) {
			total += f.Count
		}
	}
	for _, f := range d.Close() {
		total += f.Count
	}
	if total != 5000 {
		t.Errorf("%d of 5000 are recorded", total)
	}
}

func TestACountIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.edit(func(tx store.Tx) error { return w.log.AppendCount(tx, event(1), 17) })
	page, _, err := w.list(audit.Filter{})
	if err != nil || page[0].Count != 17 {
		t.Errorf("%+v %v", page, err)
	}
	b, err := json.Marshal(page[0])
	if err != nil || !strings.Contains(string(b), `"count":17`) {
		t.Errorf("%s", b)
	}
}

func BenchmarkAppend(b *testing.B) {
	w := newWorld(b)
	e := event(1)
	b.ReportAllocs()
	w.edit(func(tx store.Tx) error {
		for b.Loop() {
			if err := w.log.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	for range 20 {
		events := make([]audit.Event, 1000)
		for i := range events {
			events[i] = event(i)
		}
		w.add(w.log, events...)
	}
	b.ResetTimer()
	for b.Loop() {
		if _, err := w.log.Verify(b.Context(), w.st); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(20_000, "records/op")
}

// Requests to different hosts are different denials; a run that asks for ever new ones fills nothing.
func TestDenialsOfManyPlaces(t *testing.T) {
	var d audit.Denials
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ask := func(host string) []audit.Folded {
		return d.Fold(audit.Event{Action: audit.EgressRequest, Outcome: audit.Denied, Code: "host_not_allowed", Detail: map[string]string{"host": host, "port": "443"}}, now)
	}
	for _, host := range []string{"a.example", "b.example"} {
		if got := ask(host); len(got) != 1 || got[0].Event.Detail["host"] != host {
			t.Fatalf("%s: %+v", host, got)
		}
		if got := ask(host); len(got) != 0 {
			t.Fatalf("%s again: %+v", host, got)
		}
	}
	records := 0
	for i := range 5000 {
		records += len(ask(fmt.Sprintf("h%d.example", i)))
	}
	if records > 1100 {
		t.Errorf("%d records of 5000 hosts", records)
	}
	if got := ask("last.example"); len(got) != 0 {
		t.Errorf("the place is a difference still: %+v", got)
	}
}
