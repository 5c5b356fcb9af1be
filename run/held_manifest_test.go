package run

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/audit"
)

const golden = "../testdata/formats/shelf.golden"

// goldenHeld is what the committed list says.
func goldenHeld() *Held {
	h := &Held{
		RunID: "run_bbbbbbbbbbbbbbbbbbbbbbbbbb", Before: []string{"run_aaaaaaaaaaaaaaaaaaaaaaaaaa"}, Agent: "ci", Command: []string{"make", "all"},
		Until: time.Date(2026, 12, 26, 1, 2, 3, 0, time.UTC), Lasting: true, actor: audit.Agent, who: "agt_aaaaaaaaaaaaaaaaaaaaaaaaaa", name: "run_aaaaaaaaaaaaaaaaaaaaaaaaaa",
		layers: []sandbox.Layer{{Workdir: "/srv/app", Name: "layer1", Dev: 64768, Ino: 42, Born: 1700000000000000001, UID: 1000, GID: 1000, Since: 1700000000000000002}},
	}
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	h.take([]sandbox.Change{
		{Workdir: "/srv/app", Path: "bin", Kind: sandbox.Removed, Dir: true, Was: fs.ModeDir | 0o755, Below: sandbox.Below{Ino: 7, Size: 4096, Mtime: 1, Ctime: 2, Tree: sum}},
		{Workdir: "/srv/app", Path: "odd\xffname", Kind: sandbox.Added, Mode: fs.ModeSymlink | 0o777, Bytes: 11, Target: "/etc/\xfe", Outside: true},
		{Workdir: "/srv/app", Path: "run.sh", Kind: sandbox.Modified, Mode: 0o755, Was: 0o644, Bytes: 5, Sum: sum, Below: sandbox.Below{Ino: 8, Size: 3, Mtime: 3, Ctime: 4, Unseen: true}},
	})
	return h
}

// The committed list is read for ever, and written as it is.
func TestGoldenShelf(t *testing.T) {
	mac := func(label string, parts ...[]byte) (out [32]byte) {
		copy(out[:], label)
		out[31] = byte(len(parts[0]))
		return out
	}
	e := &Engine{o: Options{Shelf: t.TempDir(), MAC: mac}}
	e.shelf.dir = e.o.Shelf
	h := goldenHeld()
	dir := e.shelf.path(h)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := e.seal(h, stateHeld); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if os.IsNotExist(err) { // to make the vector anew, remove the file
		err = os.WriteFile(golden, got, 0o644)
		t.Error("the golden list was made: look at it")
	}
	if err != nil || string(got) != string(want) {
		t.Fatalf("%v\n%s", err, got)
	}
	root, err := os.OpenRoot(e.shelf.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	read, state, err := e.readManifest(root, h.name)
	if err != nil || state != stateHeld || !reflect.DeepEqual(read, h) {
		t.Errorf("%+v %s %v", read, state, err)
	}
}

// A list of another format is not guessed at.
func TestAShelfOfALaterFormat(t *testing.T) {
	for _, text := range []string{`{"format":2,"state":"held","run_id":"run_a"}`, `{"format":1,"state":"else","run_id":"run_a"}`, `{"format":1,"state":"held","run_id":"run_b"}`, `{`, ``} {
		if h, _, err := parseManifest(text, "run_a"); err == nil {
			t.Errorf("%s: %+v", text, h)
		}
	}
}
