package sandbox

import (
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/run/sandbox/profile"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// What the level proxied makes of a Spec, apart from starting it, so that it is tested on any system: sandbox-exec's command line.

// packages are where programs lie that the system does not bring.
var packages = []string{"/opt/homebrew", "/usr/local", "/opt/local"}

// proxied gives the command line. home is resolved; exists tells of a file that may be executed.
func proxied(spec Spec, home string, protected []string, exists func(p string) bool) ([]string, error) {
	if len(spec.Argv) == 0 {
		return nil, fault.New(fault.InvalidArgument, "a command needs at least one word", "")
	}
	if spec.Terminal != nil {
		return nil, fault.New(fault.NotSupported, "there is no terminal for a confined command on this system", "run it without one, or on Linux")
	}
	o := profile.Options{Write: []string{home}}
	for _, p := range packages {
		if exists(p) {
			o.Exec = append(o.Exec, p)
		}
	}
	for _, w := range spec.Workdirs {
		switch {
		case w.Mode == Overlay:
			return nil, refused(w.Path, "asks for an overlay, which needs the level sealed")
		case w.Mode == ReadOnly:
			o.Exec = append(o.Exec, w.Path)
		case w.Mode == ReadWrite:
			o.Write = append(o.Write, w.Path)
		default:
			return nil, refused(w.Path, "has no mode ro, rw or overlay")
		}
		if err := checkPlain(w.Path, protected); err != nil {
			return nil, err
		}
	}
	for _, l := range spec.Listen {
		at, err := netip.ParseAddrPort(l.Addr)
		if err != nil || !at.Addr().IsLoopback() || at.Port() == 0 {
			return nil, fault.Newf(fault.InvalidArgument, "a listener needs a loopback address and a port, not %s", quoted(l.Addr))
		}
		o.Ports = append(o.Ports, at.Port())
	}
	program, err := programOf(spec, exists)
	if err != nil {
		return nil, err
	}
	if spec.Binary != nil {
		o.Exec = append(o.Exec, program)
	}
	text, err := profile.Text(o)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "a path of the run cannot be put into a profile", "").Because(err)
	}
	return profile.Argv(text, append([]string{program}, spec.Argv[1:]...))
}

// programOf finds the program as a shell would.
func programOf(spec Spec, exists func(string) bool) (string, error) {
	if spec.Binary != nil {
		return spec.Binary.Path(), nil
	}
	name := spec.Argv[0]
	if path.IsAbs(name) && exists(name) {
		return name, nil
	}
	if !strings.Contains(name, "/") {
		for _, d := range strings.Split(variable(spec.Env, "PATH"), ":") {
			if p := path.Join(d, name); path.IsAbs(d) && exists(p) {
				return p, nil
			}
		}
	}
	return "", missingCommand(name)
}

func missingCommand(name string) *fault.Error {
	return fault.Newf(fault.BinaryMissing, "there is no command %s to execute, as the run sees the machine", quoted(name)).
		WithNext("name a program below /usr, or have a person name its folder: zavhoz workdir add PATH --mode ro")
}

// tops are folders that no run gets as a whole.
var tops = []string{"/", "/Applications", "/Library", "/System", "/Users", "/Volumes", "/bin", "/dev", "/etc", "/opt", "/private", "/private/etc", "/private/tmp", "/private/var", "/sbin", "/tmp", "/usr", "/var"}

// checkPlain refuses a folder that is a link, a top of the system, or the daemon's own.
func checkPlain(p string, protected []string) error {
	resolved, err := filepath.EvalSymlinks(p)
	st, serr := os.Lstat(p)
	switch {
	case !filepath.IsAbs(p) || filepath.Clean(p) != p:
		return refused(p, "is no absolute, clean path")
	case err != nil || serr != nil || !st.IsDir():
		return refused(p, "is no folder")
	case resolved != p:
		return refused(p, "has a symbolic link in it")
	case slices.Contains(tops, p):
		return refused(p, "is, or lies in, a folder of the system")
	}
	for _, q := range protected {
		if within(p, q) || within(q, p) {
			return refused(p, "is, holds or lies in a folder of zavhoz itself")
		}
	}
	return nil
}

// within tells whether p is dir or lies below it. Both are clean.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+string(filepath.Separator))
}

// variable gives an environment variable's value: the last one counts.
func variable(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}
