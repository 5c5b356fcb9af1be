package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// plant writes Files into a home where there is no root of the box's own: below an earlier command's links nothing is followed. own gives what
// was made to the run's user.
func plant(home string, files []File, own func(root *os.Root, p string) error) error {
	root, err := os.OpenRoot(home)
	if err != nil {
		return internal("open the home", err)
	}
	defer root.Close()
	for _, f := range files {
		rel, err := filepath.Rel(home, f.Path)
		if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
			return fault.Newf(fault.IsolationMissing, "the file %s can be shown at the level sealed alone", quoted(f.Path)).WithNext("zavhoz doctor tells what is missing for it")
		}
		if err := plantOne(root, rel, f, own); err != nil {
			return internal("write a file of the run", err)
		}
	}
	return nil
}

func plantOne(root *os.Root, rel string, f File, own func(root *os.Root, p string) error) error {
	if err := plantFolder(root, filepath.Dir(rel), own); err != nil {
		return err
	}
	mode := f.Mode & fs.ModePerm &^ 0o222
	if f.Mode == 0 {
		mode = 0o444
	}
	if err := root.Remove(rel); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w, err := root.OpenFile(rel, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = w.Write(f.Data)
	if err == nil {
		err = w.Chmod(mode)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return own(root, rel)
}

// plantFolder makes a folder and those above it.
func plantFolder(root *os.Root, dir string, own func(root *os.Root, p string) error) error {
	at := ""
	for _, part := range strings.Split(dir, string(filepath.Separator)) {
		if at = filepath.Join(at, part); at == "." {
			continue
		}
		err := root.Mkdir(at, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = own(root, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// quoted makes a path safe to show.
func quoted(p string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > 0x7e {
			return '?'
		}
		return r
	}, p[:min(len(p), 200)])
}

// internal hides a system's error from the one who asked; the cause is for errors.Is inside the program.
func internal(what string, err error) error {
	return fault.Newf(fault.Internal, "the sandbox could not %s", what).WithNext("zavhoz doctor checks the installation").Because(err)
}

func refused(p, why string) *fault.Error {
	return fault.Newf(fault.WorkdirRefused, "the working directory %s %s", quoted(p), why).WithNext("a person names another: zavhoz workdir add PATH --mode ro|rw|overlay")
}
