package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// place finds the folder in which groups are made: that of this process, or the one above it if that was delegated. In the latter no process sits,
// so it can pass its controllers on.
func place() (string, error) {
	mount, root, err := hierarchy()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	own := ""
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			own = strings.TrimSuffix(path, "\n")
		}
	}
	within, err := filepath.Rel(root, own)
	if own == "" || err != nil || within == ".." || strings.HasPrefix(within, "../") {
		return "", fmt.Errorf("%w: its own group is not in the tree that is mounted", ErrUnavailable)
	}
	dir := filepath.Join(mount, within)
	if within != "." && !delegated(dir) && delegated(filepath.Dir(dir)) {
		dir = filepath.Dir(dir)
	}
	return dir, nil
}

// hierarchy is where cgroup v2 is mounted, and which group that folder is.
func hierarchy() (mount, root string, err error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line) // id, parent, device, root, mount point, options, …, -, type, source, …
		head, tail, ok := strings.Cut(line, " - ")
		if ok && len(f) > 5 && strings.HasPrefix(tail, "cgroup2 ") && !strings.Contains(head, `\0`) { // a space in a path is written \040
			return f[4], f[3], nil
		}
	}
	return "", "", fmt.Errorf("%w: cgroup v2 is not mounted", ErrUnavailable)
}

// delegated reads systemd's mark.
func delegated(dir string) bool {
	var b [8]byte
	n, err := unix.Getxattr(dir, "user.delegate", b[:])
	return err == nil && string(b[:n]) == "1"
}

// controllers that limits need, by the file that shows them.
var controllers = []string{"memory", "pids", "cpu"}

// passOn lets the groups in dir have the controllers that dir has. What is refused is not there: the caller looks at the files that appear.
func passOn(dir string) {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return
	}
	for _, c := range controllers {
		if holds(have, c) && !holds(on, c) {
			_ = put(dir, "cgroup.subtree_control", "+"+c)
		}
	}
}

func holds(list []byte, word string) bool {
	for _, w := range strings.Fields(string(list)) {
		if w == word {
			return true
		}
	}
	return false
}

// put writes to a file of the kernel's; it makes none.
func put(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
