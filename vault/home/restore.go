package home

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// RestoreOptions say what Restore makes.
type RestoreOptions struct {
	Dir      Dir
	Config   []byte // config.yaml; nil: the default
	Identity string // an identity file to copy; "": the home has none, and nothing opens it before it gets one
	// MakeVault makes the vault's file at path, and closes it.
	MakeVault func(ctx context.Context, path string) error
	Clock     func() time.Time // default time.Now
}

// Restore makes a home of parts that were kept. Like Init it builds them in a folder beside, and one rename makes them all appear: a crash leaves no home. Errors:
// fault already_initialized (nothing was changed), those of reading the identity file, and what MakeVault gives.
func Restore(ctx context.Context, o RestoreOptions) error {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Config == nil {
		o.Config = []byte(DefaultConfig)
	}
	if err := o.Dir.CheckFresh(); err != nil {
		return err
	}
	root, tmp, err := beside(o.Dir, o.Clock())
	if err != nil {
		return err
	}
	if err = o.build(ctx, tmp); err == nil {
		err = publish(tmp, root, syncFolder)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

// beside makes the folder in which a home is built: next to it, so that a rename can put it there.
func beside(d Dir, now time.Time) (root, tmp string, err error) {
	root = d.real()
	parent := filepath.Dir(root)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", "", cannotMake(err)
	}
	sweep(root, now)
	if tmp, err = os.MkdirTemp(parent, tempPrefix(root)); err != nil {
		return "", "", cannotMake(err)
	}
	return root, tmp, nil
}

func (o RestoreOptions) build(ctx context.Context, tmp string) error {
	at, err := At(tmp)
	if err != nil {
		return err
	}
	if err := writeNew(at.Config(), o.Config); err != nil {
		return cannotMake(err)
	}
	if err := o.MakeVault(ctx, at.Vault()); err != nil {
		return err
	}
	if err := os.Chmod(at.Vault(), 0o600); err != nil {
		return cannotMake(err)
	}
	if o.Identity != "" { // last: of what is broken off before, no key stays behind
		text, err := readPrivate(o.Identity)
		if err != nil {
			return err
		}
		defer clear(text)
		if err := writeNew(at.Identity(), text); err != nil {
			return cannotMake(err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Canceled, "interrupted; nothing was made", "").Because(err)
	}
	return nil
}
