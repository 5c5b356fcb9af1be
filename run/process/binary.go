package process

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Want names the binary of a pinned command.
type Want struct {
	Path   string // absolute
	SHA256 string // hex; "" means that the file's permissions decide (see OpenBinary)
}

// Binary is a program that was opened, checked, and is executed by the same descriptor, so that a swap of the path between check and start
// changes nothing. A script is handed to its interpreter as an open descriptor, too; the interpreter is a Binary of its own, so $0 of a
// script is /dev/fd-like, not its path.
type Binary struct {
	path   string   // resolved
	file   *os.File // the program, or a sealed copy of it
	script bool
	interp *Binary // of a script
	arg    string  // of its first line
}

// maxShebang is what Linux reads of a script's first line.
const maxShebang = 255

// OpenBinary opens and checks w. With a hash the content decides, wherever the file lies; without one only root or the daemon's own user may be
// able to change the file and the folders above it. Faults: binary_missing, binary_changed, delivery_refused.
func OpenBinary(w Want) (*Binary, error) {
	b, err := open(w.Path)
	if err != nil {
		return nil, err
	}
	if w.SHA256 != "" {
		err = b.verify(w.SHA256)
	} else {
		err = trusted(b.path, b.file)
	}
	if err == nil {
		err = b.findInterpreter()
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func open(path string) (*Binary, error) {
	if !filepath.IsAbs(path) {
		return nil, missing(path, errRelative)
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, missing(path, err)
	}
	f, err := openRead(resolved)
	if err != nil {
		return nil, missing(path, err)
	}
	b := &Binary{path: resolved, file: f}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || !executable(st) {
		b.Close()
		return nil, missing(path, err)
	}
	return b, nil
}

func missing(path string, cause error) error {
	return fault.Newf(fault.BinaryMissing, "%s is not an executable file that zavhoz can read", quoted(path)).
		WithNext("a person can correct the pin: zavhoz resource policy HANDLE --pin").Because(cause)
}

// quoted makes a path safe to show.
func quoted(path string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7e {
			return '?'
		}
		return r
	}, path[:min(len(path), 200)])
}

// Close closes the descriptors. A process that was started keeps its own.
func (b *Binary) Close() {
	if b == nil {
		return
	}
	_ = b.file.Close()
	b.interp.Close()
}

// verify compares the content with the pinned hash. A file that a user other than root owns could be rewritten in place after the look, so
// there the bytes that were hashed are what is executed: a sealed copy.
func (b *Binary) verify(want string) error {
	copied, err := b.copyFor()
	if err != nil {
		return err
	}
	sum := sha256.New()
	var into io.Writer = sum
	if copied != nil {
		into = io.MultiWriter(sum, copied)
	}
	_, err = io.Copy(into, bufio.NewReaderSize(b.file, 1<<16))
	if got := hex.EncodeToString(sum.Sum(nil)); err != nil || !strings.EqualFold(got, want) {
		if copied != nil {
			_ = copied.Close()
		}
		return fault.Newf(fault.BinaryChanged, "%s is not the file that was pinned: its hash differs", quoted(b.path)).
			WithNext("a person looks at what changed, then pins it again: zavhoz resource policy HANDLE --pin").Because(err)
	}
	if copied == nil {
		return nil
	}
	sealed, err := seal(copied)
	if err != nil {
		return err
	}
	_ = b.file.Close()
	b.file = sealed
	return nil
}

// copyFor gives the file that the checked bytes are to be copied into, or nil where only root can rewrite the original.
func (b *Binary) copyFor() (*os.File, error) {
	st, err := b.file.Stat()
	if err != nil || ownedByRoot(st) {
		return nil, err
	}
	return sealable(filepath.Base(b.path))
}

// findInterpreter reads a script's first line, as the kernel would, and opens what it names. One level only.
func (b *Binary) findInterpreter() error {
	head := make([]byte, maxShebang+1)
	n, err := b.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return missing(b.path, err)
	}
	rest, ok := bytes.CutPrefix(head[:n], []byte("#!"))
	if !ok {
		return nil
	}
	line, _, whole := bytes.Cut(rest, []byte("\n"))
	name, arg, _ := strings.Cut(strings.Trim(string(line), " \t\r"), " ")
	if !whole && n > maxShebang {
		return missing(b.path, fs.ErrInvalid)
	}
	b.script, b.arg = true, strings.Trim(arg, " \t")
	in, err := open(name)
	if err != nil {
		return err
	}
	b.interp = in
	if err := trusted(in.path, in.file); err != nil {
		return err
	}
	if err := in.findInterpreter(); err != nil {
		return err
	}
	if in.script {
		return fault.Newf(fault.NotSupported, "the interpreter of %s is a script itself", quoted(b.path)).
			WithNext("a person pins the program that interprets it, with the script as its argument")
	}
	return nil
}

// unsafeFile says that others could replace what would run.
func unsafeFile(path string) error {
	return fault.Newf(fault.DeliveryRefused, "%s, or a folder above it, can be changed by other users", quoted(path)).
		WithNext("a person tightens its permissions, or pins its SHA-256: zavhoz resource policy HANDLE --pin")
}
