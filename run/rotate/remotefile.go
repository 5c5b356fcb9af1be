package rotate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// maxAuthorized bounds the file that is read, in bytes.
const maxAuthorized = 1 << 20

// defaultAuthorized is relative to the user's home, where sshd begins a session.
const defaultAuthorized = ".ssh/authorized_keys"

var (
	errNoShell = errors.New("rotate: the server runs no shell for this key")
	errAbsent  = errors.New("rotate: the file is not there")
	errMoved   = errors.New("rotate: the file has changed meanwhile")
	errShort   = errors.New("rotate: the file could not be written whole")
)

// remoteFile reads and replaces one file of a server.
type remoteFile interface {
	read(ctx context.Context) ([]byte, error)
	// replace puts fresh in the place of what was read, in one step; what others wrote since is errMoved.
	replace(ctx context.Context, was, fresh []byte) error
	close()
}

// shellFile is a file by the server's sh. The script goes over standard input: in the list of processes there is "sh -s" alone, and no shell keeps a history of it.
type shellFile struct {
	pool   *ssh.Pool
	target ssh.Target
	path   string
}

func (f *shellFile) close() {} // the pool is its maker's

// begin names the file as $f: a link is followed, so that what it leads to is replaced and not the link.
func (f *shellFile) begin() string {
	path := f.path
	if !strings.HasPrefix(path, "/") {
		path = "./" + path // never an option
	}
	return "set -eu\nLC_ALL=C\nexport LC_ALL\numask 077\nf=" + quote(path) + "\n" +
		"if [ -L \"$f\" ]; then f=$(readlink -f \"$f\"); fi\nprintf 'zavhoz 1\\n'\n"
}

// quote writes a word that a shell reads as itself.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (f *shellFile) read(ctx context.Context) ([]byte, error) {
	out, err := f.sh(ctx, f.begin()+`if [ ! -f "$f" ]; then printf 'absent\n'; exit 0; fi
printf 'file %s\n' "$(cksum < "$f" | { read -r a b c; printf '%s %s' "$a" "$b"; })"
cat < "$f"
`)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(out, []byte("absent\n")) {
		return nil, errAbsent
	}
	head, body, found := bytes.Cut(out, []byte("\n"))
	if !found || string(head) != "file "+stamp(body) {
		return nil, errMoved // or too long, or what came is not what lies there
	}
	return body, nil
}

func (f *shellFile) replace(ctx context.Context, was, fresh []byte) error {
	out, err := f.sh(ctx, f.begin()+`sum() { cksum < "$1" | { read -r a b c; printf '%s %s' "$a" "$b"; }; }
t="$f.zavhoz.$$"
trap 'rm -f "$t"' EXIT
trap 'exit 1' HUP INT TERM
if [ "$(sum "$f")" != `+quote(stamp(was))+` ]; then printf 'moved\n'; exit 0; fi
if ! cp -p "$f" "$t" 2>/dev/null || ! printf '%s' `+quote(string(fresh))+` > "$t" 2>/dev/null; then printf 'short\n'; exit 0; fi
if [ "$(sum "$t")" != `+quote(stamp(fresh))+` ]; then printf 'short\n'; exit 0; fi
sync "$t" 2>/dev/null || sync 2>/dev/null || :
if [ "$(sum "$f")" != `+quote(stamp(was))+` ]; then printf 'moved\n'; exit 0; fi
mv -f "$t" "$f" 2>/dev/null || { printf 'short\n'; exit 0; }
sync 2>/dev/null || :
printf 'done\n'
`)
	switch {
	case err != nil:
		return err
	case string(out) == "done\n":
		return nil
	case string(out) == "moved\n":
		return errMoved
	}
	return errShort
}

// stamp is what cksum says of b.
func stamp(b []byte) string {
	return strconv.FormatUint(uint64(checksum(b)), 10) + " " + strconv.Itoa(len(b))
}

// sh runs a script and gives what it printed after its mark. Without the mark something else than sh answered.
func (f *shellFile) sh(ctx context.Context, script string) ([]byte, error) {
	s, err := f.pool.Connect(ctx, f.target)
	if err != nil {
		return nil, err
	}
	var out limited
	_, err = s.Run(ctx, ssh.Command{Line: "sh -s", Stdin: []byte(script), Stdout: &out})
	if code := fault.CodeOf(err); err != nil && fmt.Sprint(fault.Of(err).Details["class"]) != string(ssh.NoCommand) {
		if code == "" || ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	_, after, found := bytes.Cut(out.Bytes(), []byte("zavhoz 1\n")) // before it, what a start-up file prints
	if !found {
		return nil, errNoShell
	}
	return after, nil
}

// limited keeps as much as a file may have, and its heading.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	room := max(0, maxAuthorized+4096-l.Len())
	_, _ = l.Buffer.Write(p[:min(len(p), room)])
	return len(p), nil
}
