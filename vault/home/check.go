package home

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Check holds the home to its rules before anything is read from it: it is there, it is a folder of this user, closed to others. It makes
// the folder of the sockets. Errors: fault not_initialized, key_file_exposed, vault_corrupt (an identity without its vault).
func (d Dir) Check() error {
	if _, err := os.Stat(d.root); d.away && err != nil {
		f := notThere(err)
		if f.Code == fault.NotInitialized { // a plain init would make a file
			f = f.WithNext("run `zavhoz init --store …`; for one more daemon of a vault that is there docs/postgresql.md says what its home needs")
		}
		return f
	}
	if _, err := os.Stat(d.Vault()); !d.away && err != nil {
		if _, ierr := os.Lstat(d.Identity()); ierr == nil && errors.Is(err, fs.ErrNotExist) { // init would refuse, so do not send anybody there
			return fault.New(fault.VaultCorrupt, "the vault's file is missing, its identity is there", "restore "+Quote(d.Vault())+" from a backup").Because(err)
		}
		return notThere(err)
	}
	if err := closedFolder(d.root); err != nil {
		return err
	}
	return d.EnsureRun()
}

func notThere(err error) *fault.Error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.New(fault.NotPermitted, "the home folder cannot be entered", "run zavhoz as the user who ran `zavhoz init`").Because(err)
	}
	return fault.New(fault.NotInitialized, "there is no vault yet", "run `zavhoz init`").Because(err)
}

// CheckFresh tells whether Init may make a vault here: fault already_initialized where there is one.
func (d Dir) CheckFresh() error {
	entries, err := os.ReadDir(d.root)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return fault.New(fault.NotPermitted, "the home folder cannot be read", "choose another with "+EnvHome).Because(err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "identity.txt", "vault.db", "store":
			return fault.New(fault.AlreadyInitialized, "there is a vault here already; nothing was changed", "use it, or choose another folder with "+EnvHome)
		}
	}
	return fault.New(fault.InvalidArgument, "the home folder is not empty, and holds no vault", "choose another with "+EnvHome)
}

// EnsureRun makes the folder of the sockets, 0700. One that somebody else made, or that is no folder, is refused: whoever owns it could put a
// socket of their own there.
func (d Dir) EnsureRun() error {
	if err := os.Mkdir(d.run, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fault.New(fault.DaemonUnavailable, "the folder of the sockets cannot be made", "check "+Quote(d.run)).Because(err)
	}
	return closedFolder(d.run)
}

// closedFolder refuses a folder that is a link, another user's, or open to others.
func closedFolder(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return notThere(err)
	}
	if link, err := os.Lstat(path); err != nil || link.Mode()&fs.ModeSymlink != 0 && !isOwn(link) {
		return exposed("the folder is a link that another user made", "remove it: rm "+Quote(path))
	}
	if !st.IsDir() {
		return exposed("where a folder should be is something else", "move it away: "+Quote(path))
	}
	return closed(path, st, "folder", "700")
}

// closed refuses what another user owns, or may read or write.
func closed(path string, st fs.FileInfo, what, mode string) error {
	if !isOwn(st) {
		return exposed("the "+what+" "+Quote(path)+" belongs to another user", "sudo chown \"$(id -un)\" "+Quote(path)+" && chmod "+mode+" "+Quote(path))
	}
	if openToOthers(st) {
		return exposed("other users can reach the "+what+" "+Quote(path), "chmod "+mode+" "+Quote(path))
	}
	return nil
}

func exposed(message, next string) error { return fault.New(fault.KeyFileExposed, message, next) }

// Quote writes a path so that a shell reads it as one word and a terminal shows no tricks.
func Quote(path string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, path)
	if clean != "" && strings.Trim(clean, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%") == "" {
		return clean
	}
	return "'" + strings.ReplaceAll(clean, "'", `'\''`) + "'"
}
