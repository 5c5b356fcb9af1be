package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// visible are the folders of the system that every run sees.
var visible = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"}

// install finds what a program outside the system's folders needs to be there: the folders of its install, of its interpreter's, and where links on the way lie
// (nvm, pyenv, pipx, uv, volta, Homebrew, ~/.local, /opt). It shows folders, never a home or what lies above one.
type install struct {
	home  string // of the person, its true path; "" where there is none
	shown []string
	path  []string // folders where the run looks for programs
	add   []string // folders to show, read-only
	lacks []string // what the program needs and cannot be shown
	seen  map[string]bool
}

// maxHops is how many links and interpreters are followed.
const maxHops = 32

// findInstall looks for argv0 as a shell would. shown are folders that the run sees anyway.
func findInstall(argv0, pathVar string, shown []string) *install {
	in := &install{shown: append(slices.Clone(visible), shown...), seen: map[string]bool{}}
	if h, err := os.UserHomeDir(); err == nil {
		in.home, _ = filepath.EvalSymlinks(h)
	}
	if p, err := exec.LookPath(argv0); err == nil {
		in.need(absolute(p))
	}
	in.search(pathVar)
	return in
}

// need makes the file at p be there, and what it leads to.
func (in *install) need(p string) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(p))
	if err != nil {
		return
	}
	p = filepath.Join(dir, filepath.Base(p))
	if in.seen[p] || len(in.seen) == maxHops {
		return
	}
	in.seen[p] = true
	in.show(p)
	if to, err := os.Readlink(p); err == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		in.need(to)
		return
	}
	if interpreter := shebang(p); interpreter != "" {
		if !filepath.IsAbs(interpreter) {
			if interpreter, err = exec.LookPath(interpreter); err != nil {
				return
			}
		}
		in.need(absolute(interpreter))
	}
}

// show adds the folder of an install that holds the file, where the run does not see it yet.
func (in *install) show(file string) {
	if slices.ContainsFunc(in.shown, within(filepath.Dir(file))) {
		return
	}
	dir := in.prefix(file)
	if dir == "" {
		in.lacks = append(in.lacks, file)
		return
	}
	in.add = slices.DeleteFunc(in.add, func(d string) bool { return within(d)(dir) })
	in.add, in.shown = append(in.add, dir), append(in.shown, dir)
}

// prefix is the folder that an install is in, as narrow as it can be told; "" where that would be a whole home, or a place where many things lie.
func (in *install) prefix(file string) string {
	dir := filepath.Dir(file)
	for _, root := range []string{"/home/linuxbrew/.linuxbrew", "/opt/homebrew"} {
		if within(dir)(root) {
			return root
		}
	}
	wider := ""
	if before, _, ok := strings.Cut(dir+"/", "/node_modules/"); ok { // an npm package looks for others beside itself
		dir, wider = before+"/node_modules", before
		if filepath.Base(before) == "lib" {
			wider = filepath.Dir(before)
		}
	} else if slices.Contains([]string{"bin", "sbin", "shims", "libexec"}, filepath.Base(dir)) {
		wider = filepath.Dir(dir)
	}
	switch {
	case wider != "" && in.ownFolder(wider):
		return wider
	case in.narrow(dir):
		return dir
	}
	return ""
}

// managers are hidden folders of a home that hold installs and no keys.
var managers = []string{".nvm", ".pyenv", ".bun", ".deno", ".volta", ".rbenv", ".asdf", ".fnm", ".n", ".proto", ".sdkman"}

// ownFolder tells whether a folder above bin is an install's own. In a home's hidden folders (~/.cargo) keys lie beside programs.
func (in *install) ownFolder(dir string) bool {
	if !in.narrow(dir) {
		return false
	}
	name, inHome := strings.CutPrefix(dir, in.home+"/")
	if inHome && in.home != "" && strings.HasPrefix(name, ".") && !strings.Contains(name, "/") {
		return slices.Contains(managers, name)
	}
	return true
}

// crowded are folders of a home, and of the system, in which the files of many programs lie side by side.
var crowded = []string{".local", ".local/share", ".local/lib", ".local/state", ".config", ".cache", ".var", ".var/app", "Library", "Library/Application Support", "snap"}

// narrow tells whether a folder may be shown at all.
func (in *install) narrow(dir string) bool {
	if dir == "/" || filepath.Dir(dir) == "/" || slices.Contains(sharedFolders, dir) {
		return false
	}
	if in.home == "" {
		return true
	}
	if within(in.home)(dir) { // the home, or above it
		return false
	}
	return !slices.ContainsFunc(crowded, func(c string) bool { return dir == filepath.Join(in.home, c) })
}

// search makes the run's PATH of the person's: what of it the run sees, in their order.
func (in *install) search(pathVar string) {
	for _, d := range filepath.SplitList(pathVar) {
		if !filepath.IsAbs(d) {
			continue
		}
		real, err := filepath.EvalSymlinks(d)
		if err != nil || strings.Contains(real, ":") || slices.Contains(in.path, real) || slices.ContainsFunc(visible, within(real)) || !slices.ContainsFunc(in.shown, within(real)) {
			continue
		}
		in.path = append(in.path, real)
	}
}

// shebang gives the interpreter that a script names: a path, or a name that env looks up. "" where it is no script.
func shebang(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, err := io.ReadAll(io.LimitReader(f, 512))
	if err != nil || !bytes.HasPrefix(line, []byte("#!")) {
		return ""
	}
	line, _, _ = bytes.Cut(line[2:], []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return ""
	}
	if filepath.Base(words[0]) != "env" {
		return words[0]
	}
	for _, w := range words[1:] {
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			return w
		}
	}
	return ""
}
