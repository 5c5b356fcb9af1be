package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// Folders that no run sees, with all that is in them: what the kernel shows there is the machine itself, and /run holds the sockets of whoever serves it (docker, ssh
// agents, D-Bus), each a way out of any sandbox.
var neverOpened = []string{"/proc", "/sys", "/dev", "/run", "/var/run", "/private/var/run"}

// Folders of the system, with all that is in them, which run/sandbox refuses too: who writes there is root by the next boot, some of it is keys, and what a run needs of
// them it sees already.
var systemFolders = []string{"/bin", "/boot", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/sbin", "/usr", "/private/etc", "/System"}

// Folders that hold other people's, or other programs', work side by side. One in them may be opened.
var sharedFolders = []string{
	"/home", "/root", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/lib", "/var/tmp", "/private", "/private/var", "/private/tmp", "/Users", "/Volumes", "/var/home",
}

// Folders in which programs keep what they live on: opened only where it is meant.
var programFolders = []string{"/var/lib", "/var/log", "/var/spool", "/var/backups", "/var/db", "/snap", "/private/var/db", "/Library", "/Applications", "/opt/homebrew"}

// folders gives the rule of which folders may be opened to runs: what web.Options.Folder is. path is absolute and clean.
func folders(dir home.Dir) func(path string, force bool) error {
	return func(path string, force bool) error {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return noFolder().Because(err)
		}
		if real != path {
			return fault.New(fault.InvalidArgument, "the path leads over a symbolic link, which could lead elsewhere tomorrow", "open what it leads to: `realpath FOLDER` tells it")
		}
		if st, err := os.Lstat(path); err != nil || !st.IsDir() {
			return noFolder().Because(err)
		}
		for _, own := range []string{dir.Path(), dir.Run()} {
			if meet(path, own) {
				return fault.New(fault.WorkdirRefused, "the folder holds zavhoz's own home, or lies in it: a run would see the vault and the sockets", "open a folder elsewhere, or one further down")
			}
		}
		if why := forbidden(path); why != "" {
			return fault.New(fault.WorkdirRefused, why, "open the one folder that the work is in, or copy what the run needs to a folder of its own")
		}
		if why := danger(path); why != "" && !force {
			return fault.New(fault.WorkdirRefused, why, "open the one folder that the work is in; --force opens this one all the same")
		}
		return nil
	}
}

// within gives the question whether path is a folder or lies in it.
func within(path string) func(string) bool {
	return func(folder string) bool {
		return path == folder || strings.HasPrefix(path, folder+string(filepath.Separator))
	}
}

// meet tells whether one folder is the other or lies in it, by name, or as the same folder under another name (bind mounts, letters' case).
func meet(a, b string) bool {
	if real, err := filepath.EvalSymlinks(b); err == nil {
		b = real
	}
	return within(a)(b) || within(b)(a) || above(a, b) || above(b, a)
}

// above tells whether outer is inner or one of the folders over it, whatever they are called.
func above(outer, inner string) bool {
	o, err := os.Stat(outer)
	if err != nil {
		return false
	}
	for {
		if i, err := os.Stat(inner); err == nil && os.SameFile(o, i) {
			return true
		}
		up := filepath.Dir(inner)
		if up == inner {
			return false
		}
		inner = up
	}
}

// forbidden says why a folder is never opened to runs; "" where it may be.
func forbidden(path string) string {
	switch {
	case slices.ContainsFunc(neverOpened, within(path)):
		return "the folder is the kernel's, or holds the sockets of this machine's services, each a way out of a sandbox"
	case slices.ContainsFunc(systemFolders, within(path)):
		return "the folder belongs to the system: keys lie there, who writes there owns the machine, and what a run needs of it it sees already"
	case slices.Contains(sharedFolders, path):
		return "the folder holds the work of many programs and people side by side"
	}
	return ""
}

// danger says why nobody should want to open a folder to runs; "" where nothing speaks against it.
func danger(path string) string {
	if slices.ContainsFunc(programFolders, within(path)) {
		return "programs keep there what they live on: their data, their logs, their queues"
	}
	for _, h := range homes(path) {
		switch rest, inside := strings.CutPrefix(path, h+"/"); {
		case path == h || within(h)(path):
			return "the folder holds a whole home: keys, sessions and whatever its person runs at the next login"
		case inside && strings.HasPrefix(rest, "."):
			return "the folder is a hidden one of a home, where keys, sessions and settings lie"
		}
	}
	return ""
}

// homes gives the homes that path could have to do with: our own, root's, and the one below the folder of homes.
func homes(path string) []string {
	out := []string{"/root", "/var/root", "/private/var/root"}
	if h, err := os.UserHomeDir(); err == nil && filepath.IsAbs(h) {
		out = append(out, filepath.Clean(h))
		if real, err := filepath.EvalSymlinks(h); err == nil {
			out = append(out, real)
		}
	}
	for _, all := range []string{"/home", "/Users", "/var/home"} {
		if rest, ok := strings.CutPrefix(path, all+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			out = append(out, all+"/"+name)
		}
	}
	return out
}
