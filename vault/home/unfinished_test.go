package home_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// elsewhere makes a vault that is in no file: only what leads there is written.
func elsewhere(then error) func(context.Context, string, *keyring.Keyring, []byte) error {
	return func(_ context.Context, path string, _ *keyring.Keyring, _ []byte) error {
		return errors.Join(os.WriteFile(filepath.Join(filepath.Dir(path), "store"), []byte("env:X\n"), 0o600), then)
	}
}

// Where nobody knows whether the vault was made, its folder stays, with the identity; it becomes the home, or goes, as whoever has looked there says. Nothing else ever goes by that.
func TestWhatMayHoldTheOnlyKeyStays(t *testing.T) {
	parent := t.TempDir()
	d := at(t, filepath.Join(parent, "zavhoz")).Away()
	lost := fault.New(fault.Internal, "nobody knows", "").Because(home.ErrStands)
	for range 2 {
		if _, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: elsewhere(lost)}); !errors.Is(err, home.ErrStands) {
			t.Fatal(err)
		}
	}
	left := d.Unfinished()
	if len(left) != 2 {
		t.Fatalf("left: %v", left)
	}
	if err := d.Finish(left[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := home.LoadIdentities(d.Identity()); err != nil {
		t.Fatal(err)
	}
	for _, keeps := range []home.Dir{d, at(t, filepath.Join(parent, "other")), at(t, parent)} {
		if err := d.Forget(keeps); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(d.Identity()); err != nil {
		t.Errorf("the home itself was forgotten: %v", err)
	}
	if err := d.Finish(left[1]); fault.CodeOf(err) != fault.AlreadyInitialized {
		t.Errorf("a second home in its place: %v", err)
	}
	if err := d.Forget(left[1]); err != nil || len(d.Unfinished()) != 0 {
		t.Errorf("%v, left: %v", err, d.Unfinished())
	}
	if aside, err := filepath.Glob(filepath.Join(parent, ".*-left-*", "identity.txt")); err != nil || len(aside) != 1 {
		t.Errorf("what may be the only key of a vault was put aside as %v, %v", aside, err)
	}
}

// Once the vault is made, whoever interrupts comes too late; and where the home's place is taken meanwhile, what holds the key stays.
func TestAVaultThatIsMadeKeepsItsKey(t *testing.T) {
	parent := t.TempDir()
	d := at(t, filepath.Join(parent, "zavhoz")).Away()
	ctx, cancel := context.WithCancel(t.Context())
	interrupted := func(ctx context.Context, path string, k *keyring.Keyring, header []byte) error {
		defer cancel()
		return elsewhere(nil)(ctx, path, k, header)
	}
	if _, err := home.Init(ctx, home.InitOptions{Dir: d, MakeVault: interrupted}); err != nil {
		t.Errorf("interrupted too late: %v", err)
	}
	d = at(t, filepath.Join(parent, "taken")).Away()
	taken := func(ctx context.Context, path string, k *keyring.Keyring, header []byte) error {
		return errors.Join(elsewhere(nil)(ctx, path, k, header), os.Mkdir(d.Path(), 0o700), os.WriteFile(filepath.Join(d.Path(), "identity.txt"), nil, 0o600))
	}
	_, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: taken})
	if !errors.Is(err, home.ErrStands) || fault.CodeOf(err) != fault.AlreadyInitialized || len(d.Unfinished()) != 1 {
		t.Errorf("%v, left: %v", err, d.Unfinished())
	}
}

// A disk that fails once the home has its name: nobody is told to move it, and nothing of it is taken back, for it holds the only key.
func TestAHomeThatHasItsNameStays(t *testing.T) {
	parent := t.TempDir()
	lost := errors.New("no such disk")
	for name, d := range map[string]home.Dir{"file": at(t, filepath.Join(parent, "file")), "away": at(t, filepath.Join(parent, "away")).Away()} {
		makes := elsewhere(nil)
		if !d.IsAway() {
			makes = func(_ context.Context, path string, _ *keyring.Keyring, _ []byte) error {
				return os.WriteFile(path, nil, 0o600)
			}
		}
		kept := false
		o := home.InitOptions{Dir: d, MakeVault: makes, Source: home.FromKeyring, Keep: func(context.Context, string, secret.Secret) (func(), error) {
			kept = true
			return func() { kept = false }, nil
		}}
		_, err := home.Init(t.Context(), home.Syncing(o, func(folder string) error {
			if _, err := os.Stat(d.Config()); err == nil && filepath.Dir(d.Path()) == folder {
				return lost
			}
			return nil
		}))
		if !errors.Is(err, home.ErrStands) || !errors.Is(err, lost) || strings.Contains(fault.Of(err).Next, "make way") {
			t.Errorf("%s: %v, next: %s", name, err, fault.Of(err).Next)
		}
		if _, err := os.Stat(d.Config()); err != nil || !kept || len(d.Unfinished()) > 0 {
			t.Errorf("%s: %v, its key is kept: %v, left: %v", name, err, kept, d.Unfinished())
		}
	}
}
