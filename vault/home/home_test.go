package home_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// makeVault makes a real vault file with the header in it.
func makeVault(ctx context.Context, path string, _ *keyring.Keyring, header []byte) error {
	st, err := bolt.Create(ctx, bolt.Options{Path: path})
	if err != nil {
		return err
	}
	err = st.Update(ctx, func(tx store.Tx) error { return keyring.Save(tx, header) })
	return errors.Join(err, st.Close())
}

func at(t *testing.T, path string) home.Dir {
	t.Helper()
	d, err := home.At(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// snapshot gives every file below root with its bytes, mode and time.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		text := st.Mode().String() + st.ModTime().String()
		if st.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += string(b)
		}
		out[p] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestInitMakesAHomeThatUnlocks(t *testing.T) {
	for name, root := range map[string]string{
		"a new folder": filepath.Join(t.TempDir(), "deep", "er", "zavhoz"), "an empty folder": t.TempDir(), "an odd name": filepath.Join(t.TempDir(), "my 'own' home"),
	} {
		t.Run(name, func(t *testing.T) {
			d := at(t, root)
			made, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: makeVault})
			if err != nil || !strings.HasPrefix(made.Recipient, "age1") || !strings.HasPrefix(made.VaultID, "vlt_") {
				t.Fatalf("%+v %v", made, err)
			}
			if err := d.Check(); err != nil {
				t.Fatal(err)
			}
			ids, err := home.LoadIdentities(d.Identity())
			if err != nil || len(ids) != 1 {
				t.Fatal(err)
			}
			st, err := bolt.Open(t.Context(), bolt.Options{Path: d.Vault()})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			var header []byte
			if err := st.View(t.Context(), func(tx store.Tx) (err error) { header, err = keyring.Load(tx); return err }); err != nil {
				t.Fatal(err)
			}
			k, err := keyring.Unlock(header, ids)
			if err != nil || k.VaultID() != made.VaultID {
				t.Fatal(err)
			}
			k.Close()
			if c, err := home.LoadConfig(d.Config()); err != nil || c.Format != 1 {
				t.Errorf("%+v %v", c, err)
			}
			for _, f := range []struct {
				path string
				mode fs.FileMode
			}{{d.Path(), 0o700}, {d.Run(), 0o700}, {d.Identity(), 0o600}, {d.Vault(), 0o600}, {d.Config(), 0o600}} {
				if st, err := os.Stat(f.path); err != nil || st.Mode().Perm() != f.mode {
					t.Errorf("%s: %v %v", f.path, st.Mode(), err)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(root), ".*-init-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestASecondInitChangesNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "zavhoz")
	o := home.InitOptions{Dir: at(t, root), MakeVault: makeVault}
	if _, err := home.Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, filepath.Dir(root))
	if _, err := home.Init(t.Context(), o); fault.CodeOf(err) != fault.AlreadyInitialized {
		t.Errorf("%v", err)
	}
	if !same(before, snapshot(t, filepath.Dir(root))) {
		t.Error("the home changed")
	}
}

func TestInitDoesNotTouchAFolderOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		code fault.Code
	}{
		"somebody's papers": {"papers.txt", fault.InvalidArgument}, "an identity alone": {"identity.txt", fault.AlreadyInitialized}, "a vault alone": {"vault.db", fault.AlreadyInitialized},
	} {
		root := filepath.Join(t.TempDir(), "home")
		if err := os.Mkdir(root, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, c.file), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, filepath.Dir(root))
		if _, err := home.Init(t.Context(), home.InitOptions{Dir: at(t, root), MakeVault: makeVault}); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if !same(before, snapshot(t, filepath.Dir(root))) {
			t.Errorf("%s: something changed", name)
		}
	}
}

// A failure at any point, even the last, leaves nothing behind.
func TestAFailedInitLeavesNothing(t *testing.T) {
	stop := errors.New("stop")
	for name, fn := range map[string]func(context.Context, string, *keyring.Keyring, []byte) error{
		"before the vault": func(context.Context, string, *keyring.Keyring, []byte) error { return stop },
		"after the vault": func(ctx context.Context, path string, k *keyring.Keyring, h []byte) error {
			return errors.Join(makeVault(ctx, path, k, h), stop)
		},
	} {
		parent := t.TempDir()
		if _, err := home.Init(t.Context(), home.InitOptions{Dir: at(t, filepath.Join(parent, "zavhoz")), MakeVault: fn}); !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
			t.Errorf("%s: %v %v", name, entries, err)
		}
	}
}

// What a killed Init left is hidden, is no home, and goes with a later Init; what another one builds right now stays.
func TestTheRemainsOfACrashAreSwept(t *testing.T) {
	parent := t.TempDir()
	old, fresh := filepath.Join(parent, ".zavhoz-init-1"), filepath.Join(parent, ".zavhoz-init-2")
	for _, p := range []string{old, fresh} {
		if err := os.Mkdir(p, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	d := at(t, filepath.Join(parent, "zavhoz"))
	if err := d.Check(); fault.CodeOf(err) != fault.NotInitialized {
		t.Errorf("before: %v", err)
	}
	if f := fault.Of(d.Away().Check()); f.Code != fault.NotInitialized || !strings.Contains(f.Next, "init --store") {
		t.Errorf("of a vault in a database: %v, next: %s", f, f.Next)
	}
	if _, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: makeVault}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old remains are there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("another init's folder is gone: %v", err)
	}
}

func TestOfManyInitsOneWins(t *testing.T) {
	root := filepath.Join(t.TempDir(), "zavhoz")
	d := at(t, root)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []string
	for range 6 {
		wg.Go(func() {
			made, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: makeVault})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, made.Recipient)
			} else if fault.CodeOf(err) != fault.AlreadyInitialized {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d inits won", len(won))
	}
	ids, err := home.LoadIdentities(d.Identity())
	if err != nil || ids[0].(*age.X25519Identity).Recipient().String() != won[0] {
		t.Errorf("the home is not the winner's: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(root)); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestALostVaultIsNoNewOne(t *testing.T) {
	d := at(t, filepath.Join(t.TempDir(), "zavhoz"))
	if err := d.Check(); fault.CodeOf(err) != fault.NotInitialized {
		t.Errorf("nothing there: %v", err)
	}
	if _, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: makeVault}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.Vault()); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("its vault is gone: %v", err)
	}
	if err := d.CheckFresh(); fault.CodeOf(err) != fault.AlreadyInitialized {
		t.Errorf("fresh: %v", err)
	}
}

func TestLocate(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	d, err := home.Locate(env(map[string]string{"ZAVHOZ_HOME": filepath.FromSlash("/srv/z"), "HOME": "/home/u"}))
	if err != nil || filepath.ToSlash(d.Path()) != "/srv/z" && !strings.HasSuffix(filepath.ToSlash(d.Path()), ":/srv/z") {
		t.Errorf("%v %v", d.Path(), err)
	}
	if _, err := home.Locate(env(nil)); fault.CodeOf(err) != fault.NotInitialized {
		t.Errorf("nothing known: %v", err)
	}
}

func TestSocketPathsStayShort(t *testing.T) {
	short := at(t, filepath.FromSlash("/srv/z"))
	if !strings.HasPrefix(short.AgentSock(), short.Path()) {
		t.Errorf("a short home's socket is at %s", short.AgentSock())
	}
	root := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	long, again := at(t, root), at(t, root)
	if len(long.OperatorSock()) > 100 || strings.HasPrefix(long.OperatorSock(), root) || long.OperatorSock() != again.OperatorSock() {
		t.Errorf("a long home's socket is at %s", long.OperatorSock())
	}
	if other := at(t, root+"2"); other.Run() == long.Run() {
		t.Error("two homes share their sockets")
	}
}
