// Package profile writes the sandbox profile of a run for macOS's sandbox-exec: level proxied.
//
// Promise: what the profile does not name is denied. The system is read-only; of a person's files only the run's folders are seen; the network is the
// run's own proxy on localhost, by its ports, and nothing else: no name service, no unix socket, nothing that listens. Programs that set the user,
// Apple events, launchd's jobs, the pasteboard, the keychain and other processes are out of reach.
//
// Attacks stopped (threat-model.md): other addresses (8) and names (9), families other than those of that proxy (12), pathname sockets (16),
// another process's environment (17: no kern.procargs2), signals to others (28), shared memory (30), set-user-id programs (32), hooks left for
// others (7). What stays lost is what only namespaces give: a descendant may outlive the run (33).
//
// Left out on purpose: com.apple.trustd would fetch any address that a certificate names, so programs that verify through it (Go's and Apple's own
// TLS) do not work under this level; those that read a bundle file do. Semaphores and shared memory are shared with programs outside: Python's
// multiprocessing does without its locks.
//
// Untried: the profile is written by what Apple's own profiles and others' show, its text is checked by tests on any system, but it has never run on a
// Mac here. sandbox-exec refuses a profile that it does not understand, so a mistake shows as a run that does not start.
package profile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Options are what the command gets beyond the system. Paths are absolute and free of symbolic links (/private/tmp, not /tmp): the kernel
// compares what a path leads to, so a rule on a link matches nothing.
type Options struct {
	Read     []string // files and trees that are read: the CA bundle, the run's hosts and known_hosts
	Exec     []string // … read and executed: Homebrew, a checked binary, a working folder that is read-only
	Write    []string // … read, executed and changed: the run's home, a working folder that may be changed
	Ports    []uint16 // where the run's own listeners are, on localhost
	Terminal string   // the terminal made for the run, /dev/ttysNNN; "" for none
}

// The sentinels of this package.
var (
	ErrPath = errors.New("profile: this path cannot be in a profile")
	ErrPort = errors.New("profile: 0 is no port")
)

// Text writes the profile.
func Text(o Options) (string, error) {
	w := &writer{}
	for _, paths := range [][]string{o.Read, o.Exec, o.Write} {
		w.check(paths)
	}
	w.line(head)
	w.rule("allow file-read*", append(subpaths(o.Read), subpaths(o.Exec)...))
	w.rule("allow file-map-executable process-exec", subpaths(o.Exec))
	w.rule("allow file-read* file-write* file-map-executable process-exec", subpaths(o.Write))
	w.rule("allow file-read-metadata", literals(ancestors(o.Read, o.Exec, o.Write)))
	if o.Terminal != "" {
		if !strings.HasPrefix(o.Terminal, "/dev/ttys") {
			w.fail(o.Terminal)
		}
		w.check([]string{o.Terminal})
		w.rule("allow file-read* file-write* file-ioctl", literals([]string{o.Terminal, "/dev/tty"}))
	}
	for _, p := range o.Ports {
		if p == 0 {
			return "", ErrPort
		}
		// never (local …): that matches our own end, and so every connection
		w.rule("allow network-outbound", []string{"(remote ip " + quote("localhost:"+strconv.Itoa(int(p))) + ")"})
	}
	return w.text.String(), w.err
}

// Argv is the command line that runs argv under the profile; argv[0] is an absolute path, so that sandbox-exec takes it for no option.
func Argv(text string, argv []string) ([]string, error) {
	if len(argv) == 0 || !path.IsAbs(argv[0]) {
		return nil, fmt.Errorf("%w: the program's must be absolute", ErrPath)
	}
	return append([]string{"/usr/bin/sandbox-exec", "-p", text}, argv...), nil
}

type writer struct {
	text strings.Builder
	err  error
}

func (w *writer) line(s string) { w.text.WriteString(s + "\n") }

// rule writes one with its filters, a line each; without filters it would hold for everything, so it is left out.
func (w *writer) rule(what string, filters []string) {
	if len(filters) == 0 {
		return
	}
	w.line("(" + what)
	for _, f := range filters {
		w.line("\t" + f)
	}
	w.line(")")
}

// check refuses what is no plain path. The root would open everything; a control character is nobody's folder.
func (w *writer) check(paths []string) {
	for _, p := range paths {
		control := strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f })
		if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || control || !utf8.ValidString(p) {
			w.fail(p)
		}
	}
}

func (w *writer) fail(p string) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %q", ErrPath, p)
	}
}

// quote writes a string of the profile's language.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func subpaths(paths []string) []string { return filters("subpath", paths) }

func literals(paths []string) []string { return filters("literal", paths) }

func filters(kind string, paths []string) (list []string) {
	for _, p := range paths {
		list = append(list, "("+kind+" "+quote(p)+")")
	}
	return list
}

// ancestors are the folders above the paths: getcwd and realpath look at each.
func ancestors(lists ...[]string) (above []string) {
	for _, paths := range lists {
		for _, p := range paths {
			for d := path.Dir(p); d != "/" && d != "."; d = path.Dir(d) {
				above = append(above, d)
			}
		}
	}
	slices.Sort(above)
	return slices.Compact(above)
}
