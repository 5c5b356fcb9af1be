package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// unfinishedAfter is how old the remains of a backup that was broken off are when the next one to the same file removes them.
const unfinishedAfter = time.Hour

// backupFile writes a backup beside the name it gets, reads it back, and renames it: whatever happens, the name has the old file, or none, or the whole new one.
func (a *app) backupFile(ctx context.Context, name string, to []string, force bool) (backedUp, error) {
	out := backedUp{File: name}
	if err := free(name, force); err != nil {
		return out, err
	}
	dir, base := filepath.Dir(name), filepath.Base(name)
	sweepBackups(dir, base)
	f, err := os.CreateTemp(dir, remains(base)) // 0600
	if err != nil {
		return out, cannotWrite(err)
	}
	defer os.Remove(f.Name()) // of a name that was given away there is nothing to remove
	defer f.Close()
	if out.Report, err = a.streamBackup(ctx, to, f); err != nil {
		return out, err
	}
	if err := f.Sync(); err != nil {
		return out, cannotWrite(err)
	}
	if out.Verified, err = a.readBack(ctx, f, out.Report); err != nil {
		return out, err
	}
	return out, publishFile(f, name, force)
}

func remains(base string) string { return "." + base + ".zvhbak-" }

// free refuses a name that is taken. force replaces a file, and nothing else.
func free(name string, force bool) error {
	st, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return cannotWrite(err)
	case !force:
		return fault.New(fault.NameTaken, "there is a file of that name already; nothing was changed", "name another, or give --force to replace it")
	case !st.Mode().IsRegular():
		return fault.New(fault.InvalidArgument, "what has that name is not a file", "name another")
	}
	return nil
}

// sweepBackups removes what backups to the same name left that were killed.
func sweepBackups(dir, base string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		st, err := e.Info()
		if err == nil && st.Mode().IsRegular() && strings.HasPrefix(e.Name(), remains(base)) && time.Since(st.ModTime()) > unfinishedAfter {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// readBack checks what is in the file now: its hash, and with an identity at hand all that can be checked without opening the seals.
func (a *app) readBack(ctx context.Context, f *os.File, rep backup.Report) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, 0, rep.Size+1))
	if err != nil {
		return "", cannotWrite(err)
	}
	if n != rep.Size || hex.EncodeToString(h.Sum(nil)) != rep.SHA256 {
		return "", fault.New(fault.VaultCorrupt, "what was read back is not what was written", "check the disk, or name a file on another")
	}
	dir, err := a.dir()
	if err != nil {
		return "", err
	}
	ids, err := home.LoadIdentities(dir.Identity())
	if err != nil {
		return verifiedHashed, nil // the daemon has a user of its own, or was unlocked in another way
	}
	b, err := backup.Open(ctx, f, n, ids)
	if fault.CodeOf(err) == fault.WrongIdentity {
		return verifiedHashed, nil // it is for other recipients
	}
	if err != nil {
		return "", err
	}
	k, header, err := unlockBackup(ctx, b, func(header []byte) (*keyring.Keyring, error) { return keyring.Unlock(header, ids) })
	if err != nil {
		return "", err
	}
	defer k.Close()
	return verifiedOpened, b.Authenticate(k, header)
}

// unlockBackup opens the keys that lie in a backup.
func unlockBackup(ctx context.Context, b *backup.File, unlock func([]byte) (*keyring.Keyring, error)) (*keyring.Keyring, []byte, error) {
	header, err := vault.Header(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	k, err := unlock(header)
	return k, header, err
}

// publishFile gives the file its name. Without force it takes no name that came meanwhile.
func publishFile(f *os.File, name string, force bool) error {
	if force {
		if err := os.Rename(f.Name(), name); err != nil {
			return cannotWrite(err)
		}
		syncFolder(filepath.Dir(name))
		return nil
	}
	err := os.Link(f.Name(), name)
	if errors.Is(err, os.ErrExist) {
		return free(name, false)
	}
	if err != nil { // a file system without links
		if err := free(name, false); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), name); err != nil {
			return cannotWrite(err)
		}
	}
	syncFolder(filepath.Dir(name))
	return nil
}

// syncFolder makes a new name durable, where the system can: some file systems have no such thing, and some folders may be written and not read.
func syncFolder(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	_ = d.Sync()
}
