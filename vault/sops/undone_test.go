package sops_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

const twoKeys = "api_keys:\n    one:\n        key: first-value-of-one\n        hosts: a.example\n    two:\n        key: first-value-of-two\n        hosts: b.example\n"

// rig is a source with a clock, over one file.
type rig struct {
	t     *testing.T
	p     *sopstest.Person
	s     *sops.Source
	path  string
	ahead atomic.Int64 // seconds
}

func newRig(t *testing.T, name, text string) *rig {
	t.Helper()
	r := &rig{t: t, p: sopstest.NewPerson(t)}
	r.path = encrypted(t, r.p, name, text)
	var err error
	r.s, err = sops.NewSource(context.Background(), sops.SourceOptions{
		Codec: newCodec(t), Files: []sops.FileSpec{{Path: r.path}},
		Identities: func(context.Context) ([]age.Identity, error) { return ids(r.p), nil },
		Now:        func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load()) * time.Second) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.s.Close)
	return r
}

// elsewhere runs sops on a copy of the file as it is now, and gives what it writes.
func (r *rig) elsewhere(args ...string) []byte {
	r.t.Helper()
	return r.lateOf(read(r.t, r.path), args...)
}

// lateOf gives what a sops writes now that read the file as it was then.
func (r *rig) lateOf(then []byte, args ...string) []byte {
	r.t.Helper()
	dir := r.t.TempDir()
	copied := filepath.Join(dir, filepath.Base(r.path))
	write(r.t, copied, then, 0o600)
	r.p.Sops(dir, append(args[:1:1], append([]string{filepath.Base(r.path)}, args[1:]...)...)...)
	return read(r.t, copied)
}

func (r *rig) edit(changes ...wire.Change) {
	r.t.Helper()
	if err := r.s.Edit(context.Background(), r.path, changes); err != nil {
		r.t.Fatal(err)
	}
}

// undone takes in what the file holds, and gives the paths of the changes of ours that are gone from it.
func (r *rig) undone(file []byte) (out []string) {
	r.t.Helper()
	write(r.t, r.path, file, 0o600)
	r.s.Refresh(context.Background())
	if err := r.s.States()[0].Err; err != nil {
		r.t.Fatal(err)
	}
	for _, u := range r.s.Undone() {
		for _, c := range u.Changes {
			out = append(out, strings.Join(c.Path, "."))
		}
		u.Wipe()
	}
	return out
}

func (r *rig) wants(what string, got []string, want ...string) {
	r.t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		r.t.Errorf("%s: undone are %q, want %q", what, got, want)
	}
}

// A sops that read the file before us and writes after us undoes what we wrote, in every format; what it changed itself is no matter.
func TestWhatSopsUndoesIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		text, theirs string
		ours         []string
	}{
		"secrets.yaml": {twoKeys, `["api_keys"]["two"]["key"]`, []string{"api_keys", "one", "key"}},
		"secrets.json": {`{"mac":"x","api_keys":{"one":{"key":"first-value-of-one"},"two":{"key":"first-value-of-two"}}}`, `["api_keys"]["two"]["key"]`, []string{"api_keys", "one", "key"}},
		"secrets.env":  {"ONE_MAC=first-value-of-one\nTWO=first-value-of-two\n", `["TWO"]`, []string{"ONE_MAC"}},
		"secrets.ini":  {"[DEFAULT]\nONE = first-value-of-one\n\n[db]\nTWO = first-value-of-two\n", `["db"]["TWO"]`, []string{"DEFAULT", "ONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, name, c.text)
			then := read(t, r.path)
			r.edit(put("second-value-of-one", c.ours...))
			if got := r.s.Undone(); len(got) != 0 {
				t.Errorf("our own write undid %d", len(got))
			}
			theirs := r.lateOf(then, "set", c.theirs, `"another-value-of-two"`)
			r.wants("a set of sops", r.undone(theirs), strings.Join(c.ours, "."))
			r.wants("asked again", r.undone(theirs))
		})
	}
}

// An entry that was added and one that was taken out are found, a write on top of a write gives the last alone.
func TestWhatSopsUndoesOfEntries(t *testing.T) {
	r := newRig(t, "secrets.yaml", twoKeys)
	then := read(t, r.path)
	r.edit(put("a-third-value", "api_keys", "three", "key"))
	r.edit(wire.Change{Path: []string{"api_keys", "one"}, Unset: true})
	r.edit(put("a-fourth-value", "api_keys", "three", "key"))
	theirs := r.lateOf(then, "set", `["api_keys"]["two"]["key"]`, `"another-value-of-two"`)
	r.wants("entries", r.undone(theirs), "api_keys.one", "api_keys.three.key")
}

// What a person means is not undone: a value set back with sops, a later removal, a former file put back as a whole, of ours or older; and our own writes are no news.
func TestWhatIsMeantStays(t *testing.T) {
	r := newRig(t, "secrets.yaml", twoKeys)
	oldest := read(t, r.path)
	time.Sleep(1100 * time.Millisecond) // sops's own word of when a file was written counts seconds
	r.p.Sops(r.p.Dir, "set", "secrets.yaml", `["api_keys"]["two"]["key"]`, `"another-value-of-two"`)
	base := read(t, r.path)
	r.s.Refresh(context.Background())

	r.edit(put("second-value-of-one", "api_keys", "one", "key"))
	r.wants("set back", r.undone(r.elsewhere("set", `["api_keys"]["one"]["key"]`, `"first-value-of-one"`)))
	r.wants("another key", r.undone(r.elsewhere("rotate", "--in-place")))

	r.edit(put("a-third-value", "api_keys", "three", "key"))
	r.ahead.Add(11)
	r.wants("taken out by a person", r.undone(r.elsewhere("unset", `["api_keys"]["three"]`)))

	r.undone(base)
	r.edit(put("second-value-of-one", "api_keys", "one", "key"))
	r.wants("the file before", r.undone(base))
	r.wants("and what sops makes of that", r.undone(r.elsewhere("set", `["api_keys"]["two"]["key"]`, `"a-third-value-of-two"`)))

	r.undone(base)
	r.edit(put("second-value-of-one", "api_keys", "one", "key"))
	r.wants("the oldest file", r.undone(oldest))
	r.ahead.Add(1)

	r.undone(base)
	then := read(t, r.path)
	r.edit(put("second-value-of-one", "api_keys", "one", "key"))
	theirs := r.lateOf(then, "set", `["api_keys"]["two"]["key"]`, `"a-third-value-of-two"`)
	r.ahead.Add(3601)
	r.wants("an hour later", r.undone(theirs))
}
