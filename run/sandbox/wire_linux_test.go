package sandbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// encode is what the launcher sends: it has no Go, and writes the four numbers where they are.
func (a reply) encode() []byte {
	b, _ := binary.Append(nil, binary.NativeEndian, []uint32{a.sign, a.errno, uint32(a.pid), 0})
	return b
}

func FuzzMessages(f *testing.F) {
	f.Add(newRequest(allNamespaces, owner{1, 1}, owner{}).encode())
	f.Add(newRequest(0, owner{}, owner{}).encode())
	f.Add(reply{sign: requestSign, pid: 7}.encode())
	f.Add(reply{sign: requestSign, errno: uint32(unix.EPERM)}.encode())
	f.Add([]byte{noteEnded, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, ok := overlay(b); ok {
			if q.flags&^allNamespaces != 0 || q.flags != 0 && (q.flags&unix.CLONE_NEWUSER == 0 || q.uid == 0 || q.gid == 0) || !bytes.Equal(q.encode(), b) {
				t.Errorf("a request that must not pass: %+v", q)
			}
		}
		if a, err := decodeReply(b); err == nil && !bytes.Equal(a.encode(), b) {
			t.Errorf("reply %+v from %x", a, b)
		}
		if n, err := decodeNote(b); err == nil && (n.kind < noteFailed || n.kind > noteEnded) {
			t.Errorf("note %+v", n)
		}
		_ = rights(b)
	})
}

// overlay reads a message as the launcher does: where it lies.
func overlay(b []byte) (request, bool) {
	var at struct {
		request request
		rest    [64]byte
	}
	n := copy(unsafe.Slice((*byte)(unsafe.Pointer(&at)), unsafe.Sizeof(at)), b)
	return at.request, at.request.valid(uintptr(n))
}

func TestARunIsNeverMappedToRoot(t *testing.T) {
	for _, q := range []request{newRequest(allNamespaces, owner{0, 0}, owner{}), newRequest(allNamespaces, owner{0, 1}, owner{}), newRequest(allNamespaces, owner{1, 0}, owner{}), newRequest(allNamespaces, owner{^uint32(0), 1}, owner{}),
		newRequest(unix.CLONE_NEWNET, agent, owner{}), newRequest(unix.CLONE_VM, agent, owner{}), newRequest(unix.CLONE_NEWUSER|unix.CLONE_PARENT, agent, owner{}), {flags: allNamespaces, uid: 1, gid: 1},
		newRequest(allNamespaces, agent, owner{0, 1}), newRequest(allNamespaces, agent, owner{1, 0}), newRequest(0, owner{}, agent), newRequest(unix.CLONE_NEWUSER, agent, agent)} {
		if _, ok := overlay(q.encode()); ok {
			t.Errorf("%+v", q)
		}
	}
	if _, ok := overlay(newRequest(allNamespaces, agent, owner{}).encode()); !ok {
		t.Error("a good request is refused")
	}
	ids := newIdentities()
	ids.choose, ids.own = false, owner{0, 0}
	if _, ok := ids.take(); ok {
		t.Error("root that cannot become anybody else took itself")
	}
	ids.choose = true
	seen := map[uint32]bool{}
	for range 1000 {
		o, ok := ids.take()
		if !ok || o.uid < firstRunID || o.uid >= firstRunID+runIDs || o.gid != o.uid || seen[o.uid] {
			t.Fatalf("%+v %t", o, ok)
		}
		seen[o.uid] = true
	}
}

func testBox(t *testing.T) *Box {
	t.Helper()
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Open(t.Context(), BoxOptions{Level: policy.LevelSealed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(b.Close(), s.Close()) })
	return b
}

// A folder that is swapped between the check and the mount: what was checked is shown, or nothing.
func TestAWorkdirThatIsSwappedIsNotShown(t *testing.T) {
	b := testBox(t)
	for _, mode := range []Mode{ReadOnly, ReadWrite, Overlay} {
		dir := filepath.Join(t.TempDir(), "project")
		evil := t.TempDir()
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/it", []byte("checked"), 0o644), os.WriteFile(evil+"/it", []byte("swapped"), 0o644)); err != nil {
			t.Fatal(err)
		}
		for name, swap := range map[string]func() error{
			"folder": func() error {
				return errors.Join(os.Rename(dir, dir+"x"), os.Mkdir(dir, 0o755), os.WriteFile(dir+"/it", []byte("swapped"), 0o644))
			},
			"link": func() error { return errors.Join(os.RemoveAll(dir), os.Symlink(evil, dir)) },
		} {
			if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(dir+"x"), os.Mkdir(dir, 0o755), os.WriteFile(dir+"/it", []byte("checked"), 0o644)); err != nil {
				t.Fatal(err)
			}
			spec := Spec{Argv: []string{"cat", dir + "/it"}, Env: []string{"PATH=/usr/bin:/bin"}, Workdirs: []Workdir{{Path: dir, Mode: mode}}}
			out := &bytes.Buffer{}
			spec.Stdout = out
			if err := b.check(&spec); err != nil {
				t.Fatal(err)
			}
			dirs, err := b.s.openWorkdirs(spec.Workdirs)
			if err != nil {
				t.Fatal(err)
			}
			if err := swap(); err != nil {
				t.Fatal(err)
			}
			p := b.newProcess(spec)
			err = p.prepare(dirs)
			if err == nil {
				err = p.ready(context.Background())
			}
			closeAll(dirs)
			if err != nil { // an ordinary user's child looks by path, and finds another folder
				if fault.CodeOf(err) != fault.WorkdirRefused {
					t.Errorf("%s %s: %v", mode, name, err)
				}
				continue
			}
			go p.live()
			_ = p.Run()
			p.Wait()
			if out.String() == "swapped" {
				t.Errorf("%s %s: what was swapped in is shown", mode, name)
			}
			_ = b.drop(b.anyLayer())
		}
	}
}

func (b *Box) anyLayer() *layer {
	if len(b.layers) == 0 {
		return &layer{dir: os.DevNull + "-none"}
	}
	return b.layers[0]
}

// A step that fails is named, and the child does nothing after it.
func TestAFailedStepIsReported(t *testing.T) {
	b := testBox(t)
	r := newRecipe()
	ours, theirs, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	r.control()
	control := r.give(theirs)
	file := r.str(filepath.Join(t.TempDir(), "made"))
	r.call("one", unix.SYS_GETPID)
	r.call("two", unix.SYS_CLOSE, 99).unless(unix.EBADF)
	r.call("three", unix.SYS_MKDIRAT, unix.AT_FDCWD, r.str("/no/such/place/x"), 0o700)
	r.call("four", unix.SYS_MKDIRAT, unix.AT_FDCWD, file, 0o700)
	ch, err := b.s.fork(r, newRequest(0, owner{}, owner{}), control)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.pidfd.Close()
	buf := make([]byte, 64)
	n, err := ours.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decodeNote(buf[:n])
	if err != nil || m != (note{noteFailed, 2, uint32(unix.ENOENT)}) {
		t.Errorf("%+v %v", m, err)
	}
	ch.gone()
	if _, err := os.Lstat(filepath.Join(t.TempDir(), "made")); err == nil {
		t.Error("a step after it was done")
	}
}
