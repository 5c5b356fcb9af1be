package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// pinned runs a command that a person pinned, within walls: it holds the true values, and so must not be able to take them anywhere. It sees a read-only
// system, the folder that the pin names, and the hosts of its resources through the proxy, which swaps nothing here.
func (e *Engine) pinned(ctx context.Context, l *live, p *plan, r Request, out, errs *masked) (exit, error) {
	if err := e.trustedFolder(ctx, p.pin); err != nil {
		return exit{}, err
	}
	binary, err := process.OpenBinary(process.Want{Path: p.argv[0], SHA256: p.pin.SHA256})
	if err != nil {
		return exit{}, err
	}
	defer binary.Close()
	box, err := e.o.Sandbox.Open(ctx, sandbox.BoxOptions{RunID: l.record.ID, Level: policy.Level(p.isolation)})
	if err != nil {
		return exit{}, err
	}
	defer e.closeBox(l, box)
	o, err := e.outfit(ctx, l, p, box)
	if err != nil {
		return exit{}, err
	}
	defer o.close()
	items, err := e.values(l, p)
	defer wipe(items)
	if err != nil {
		return exit{}, err
	}
	spec, err := o.spec(within{binary: binary, argv: p.argv, dir: p.pin.Cwd, items: items, plain: r.Env, input: r.Stdin})
	if err != nil {
		return exit{}, err
	}
	spec.Stdout, spec.Stderr = out, errs
	if p.pin.Cwd != "" {
		if _, err := workdir(p.pin.Cwd, ""); err != nil {
			return exit{}, err
		}
		spec.Workdirs = []sandbox.Workdir{{Path: p.pin.Cwd, Mode: sandbox.ReadWrite}}
	}
	if err := o.named(p.pin, &spec); err != nil {
		return exit{}, err
	}
	return o.see(ctx, spec)
}

// trustedFolder refuses a pinned command whose folder agents may write: programs load modules, settings and scripts from where they run, and what an agent wrote
// there would hold the value (threat-model.md 51).
func (e *Engine) trustedFolder(ctx context.Context, pin policy.Pin) error {
	if e.o.AgentsWrite == nil {
		return nil
	}
	for _, path := range append([]string{pin.Cwd}, pin.Argv...) {
		if !filepath.IsAbs(path) {
			continue
		}
		open, err := e.o.AgentsWrite(ctx, path)
		if err != nil {
			return err
		}
		if _, hashed := pin.Files[path]; open && !hashed && (path != pin.Argv[0] || pin.SHA256 == "") {
			return fault.New(fault.WorkdirRefused, "the pinned command works in, or is given, a folder that agents may write: what they leave there could take the value",
				"a person gives it another folder, or opens this one with --mode overlay: zavhoz workdir list")
		}
	}
	return nil
}

// maxNamedFile is the largest file that a pin names by its path and the command sees, in bytes.
const maxNamedFile = 16 << 20

// named lets a pinned command see the files and folders that the pin itself names: a person wrote `sh /srv/deploy.sh`, and meant that file. A file is shown as it
// is now, and must be what was pinned; a folder read-only. Where the box has no root of its own the file is the real one: it could be changed after the look.
func (o *outfit) named(pin policy.Pin, spec *sandbox.Spec) error {
	if err := unchanged(pin); err != nil {
		return err
	}
	for _, word := range pin.Argv[1:] {
		if !filepath.IsAbs(word) || filepath.Clean(word) != word || strings.Contains(word, "{") || systemPath(word) || pin.Cwd != "" && strings.HasPrefix(word+"/", pin.Cwd+"/") {
			continue
		}
		st, err := os.Lstat(word)
		switch {
		case err != nil:
		case st.IsDir():
			spec.Workdirs = append(spec.Workdirs, sandbox.Workdir{Path: word, Mode: sandbox.ReadOnly})
		case st.Mode().IsRegular() && !o.box.Named():
			spec.Workdirs = append(spec.Workdirs, sandbox.Workdir{Path: filepath.Dir(word), Mode: sandbox.ReadOnly})
		case st.Mode().IsRegular() && st.Size() <= maxNamedFile:
			if data, err := readBelow(filepath.Dir(word), filepath.Base(word)); err == nil && len(data) <= maxNamedFile {
				if sum, hashed := pin.Files[word]; hashed && sum != hashOf(data) {
					return changed(word)
				}
				spec.Files = append(spec.Files, sandbox.File{Path: word, Data: data, Mode: st.Mode().Perm() & 0o555})
			}
		}
	}
	return nil
}

// unchanged compares every file that the pin keeps a hash of. A missing one is a changed one.
func unchanged(pin policy.Pin) error {
	for path, sum := range pin.Files {
		data, err := readBelow(filepath.Dir(path), filepath.Base(path))
		if err != nil || hashOf(data) != sum {
			return changed(path)
		}
	}
	return nil
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func changed(path string) error {
	return fault.New(fault.BinaryChanged, filepath.Base(path)+", which the pinned command is given, is not the file that was pinned", "a person looks at what changed, then pins it again")
}

// readBelow reads a file of the folder, and no other: whoever may write there could put a link to a file of the daemon's in its place (threat-model.md 51).
func readBelow(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0) // a FIFO that somebody put there must not hold the run up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, os.ErrInvalid
	}
	return io.ReadAll(io.LimitReader(f, maxNamedFile+1))
}

// systemPath tells whether a run sees the path anyway, or the kernel's folders, which are its own there.
func systemPath(path string) bool {
	for _, top := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/dev", "/proc", "/sys"} {
		if path == top || strings.HasPrefix(path, top+"/") {
			return true
		}
	}
	return false
}
