//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

func mkdirs(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.MkdirAll(p, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// realDir is a temporary folder without a symbolic link over it.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFoldersThatMayBeOpened(t *testing.T) {
	root := realDir(t)
	own := filepath.Join(root, "data", "zavhoz")
	me := filepath.Join(root, "people", "me")
	mkdirs(t, own+"/run", own+"-notes", me+"/.ssh/deep", me+"/src/.git", root+"/work")
	t.Setenv("HOME", me)
	dir, err := home.At(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": root + "/work", "hole": own} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	check := folders(dir)
	for path, c := range map[string]struct{ plain, forced fault.Code }{
		root + "/work":       {},
		me + "/src":          {},
		me + "/src/.git":     {},
		own + "-notes":       {},
		me + "/.ssh":         {plain: fault.WorkdirRefused},
		me + "/.ssh/deep":    {plain: fault.WorkdirRefused},
		me:                   {plain: fault.WorkdirRefused},
		root + "/people":     {plain: fault.WorkdirRefused},
		"/usr":               {fault.WorkdirRefused, fault.WorkdirRefused},
		"/etc":               {fault.WorkdirRefused, fault.WorkdirRefused},
		own:                  {fault.WorkdirRefused, fault.WorkdirRefused},
		own + "/run":         {fault.WorkdirRefused, fault.WorkdirRefused},
		root + "/data":       {fault.WorkdirRefused, fault.WorkdirRefused},
		root:                 {fault.WorkdirRefused, fault.WorkdirRefused},
		"/dev":               {fault.WorkdirRefused, fault.WorkdirRefused},
		root + "/link":       {fault.InvalidArgument, fault.InvalidArgument},
		root + "/hole":       {fault.InvalidArgument, fault.InvalidArgument},
		root + "/hole/run":   {fault.InvalidArgument, fault.InvalidArgument},
		root + "/file":       {fault.InvalidArgument, fault.InvalidArgument},
		root + "/nothing":    {fault.InvalidArgument, fault.InvalidArgument},
		root + "/file/below": {fault.InvalidArgument, fault.InvalidArgument},
	} {
		if err := check(path, false); fault.CodeOf(err) != c.plain {
			t.Errorf("%s: %v, want %q", path, err, c.plain)
		}
		if err := check(path, true); fault.CodeOf(err) != c.forced {
			t.Errorf("%s by force: %v, want %q", path, err, c.forced)
		}
	}
}

// The home is known also under another name, and where it is reached over a link.
func TestTheHomeUnderAnotherName(t *testing.T) {
	root := realDir(t)
	mkdirs(t, root+"/real/home/run", root+"/work")
	if err := os.Symlink(root+"/real", root+"/alias"); err != nil {
		t.Fatal(err)
	}
	dir, err := home.At(root + "/alias/home")
	if err != nil {
		t.Fatal(err)
	}
	check := folders(dir)
	for _, path := range []string{root + "/real", root + "/real/home", root + "/real/home/run", root} {
		if err := check(path, true); fault.CodeOf(err) != fault.WorkdirRefused {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := check(root+"/work", false); err != nil {
		t.Error(err)
	}
	if !above(root, root+"/real/home") || above(root+"/work", root+"/real/home") || above(root+"/nothing", root) {
		t.Error("what lies over a folder is not known")
	}
}

// Names alone decide about folders that this machine may not have.
func TestDanger(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	for _, path := range []string{
		"/etc", "/etc/ssh", "/usr/local", "/boot", "/var", "/var/lib", "/home", "/root", "/tmp", "/srv", "/Users", "/private/etc", "/mnt", "/var/tmp", "/run/docker", "/proc/self", "/nix/store", "/var/run",
	} {
		if forbidden(path) == "" {
			t.Errorf("%s may be opened", path)
		}
	}
	for _, path := range []string{"/root" + "/.ssh", "/var/lib/docker", "/var/log", "/home/me", "/home/you", "/home/me/.aws", "/home/you/.config/x", "/Users/me", "/Users/me/.ssh", "/Library", "/snap/x"} {
		if why := forbidden(path); why != "" || danger(path) == "" {
			t.Errorf("%s is opened without a word, or never: %s", path, why)
		}
	}
	for _, path := range []string{"/home/me/src", "/home/you/src/.git", "/root" + "/work", "/srv/app", "/opt/app", "/tmp/x", "/var/www", "/etcetera", "/usrlocal", "/data", "/Users/me/src", "/homes/x", "/mnt/disk"} {
		if why := forbidden(path) + danger(path); why != "" {
			t.Errorf("%s is refused: %s", path, why)
		}
	}
}
