package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	prefix    = "zavhoz-"
	endWithin = 10 * time.Second // for killed processes to be gone: one in a system call of a dead disk may never be
	endPause  = 2 * time.Millisecond
	cpuPeriod = 100_000 // microseconds
)

// Group is the group of one run.
type Group struct {
	dir  string
	file *os.File
	held Held
}

// Available tells, by making one, whether this process may make groups; else why not.
func Available() (ok bool, reason string) {
	name := "probe-" + strconv.Itoa(os.Getpid())
	if base, err := place(); err == nil {
		_ = os.Remove(filepath.Join(base, prefix+name)) // of one with our number that died in here
	}
	g, err := New(name, Limits{})
	if err == nil {
		err = g.Close()
	}
	if err != nil {
		return false, err.Error()
	}
	return true, ""
}

// New makes a group. The name is the run's; another process's group of the same name is refused.
func New(name string, l Limits) (*Group, error) {
	if !goodName(name) {
		return nil, ErrName
	}
	base, err := place()
	if err != nil {
		return nil, err
	}
	passOn(base)
	g, err := begin(base, name, l)
	for try := 0; try < sweepTries && (errors.Is(err, errSwept) || try > 0 && errors.Is(err, fs.ErrExist)); try++ {
		time.Sleep(endPause) // it is still at it
		g, err = begin(base, name, l)
	}
	return g, err
}

// Another daemon's Sweep may come between the making of a group and its lock: then it is made anew.
const sweepTries = 50

var errSwept = fmt.Errorf("%w: it was swept away", ErrUnavailable)

func begin(base, name string, l Limits) (*Group, error) {
	g := &Group{dir: filepath.Join(base, prefix+name)}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := g.hold(); err != nil {
		_ = os.Remove(g.dir)
		return nil, err
	}
	if err := g.set(l); err != nil {
		return nil, errors.Join(err, os.Remove(g.dir), g.file.Close())
	}
	return g, nil
}

// hold opens the group and locks it: while this process lives Sweep leaves it alone.
func (g *Group) hold() (err error) {
	g.file, err = os.OpenFile(g.dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errSwept
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err = unix.Flock(int(g.file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	switch _, gone := os.Lstat(g.dir); {
	case err == unix.EWOULDBLOCK, err == nil && errors.Is(gone, fs.ErrNotExist):
		err = errSwept
	case err != nil:
		err = fmt.Errorf("%w: it cannot be held: %w", ErrUnavailable, err)
	default:
		return nil
	}
	return errors.Join(err, g.file.Close())
}

// Sweep ends and removes the groups that processes like this one left behind: killed, they could not. Call it once at the start.
func Sweep() error {
	base, err := place()
	if errors.Is(err, ErrUnavailable) {
		return nil
	}
	if err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(base, prefix+"*"))
	for _, dir := range dirs {
		g := &Group{dir: dir}
		var oerr error
		if g.file, oerr = os.OpenFile(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0); oerr != nil {
			continue // gone meanwhile, or another user's
		}
		if unix.Flock(int(g.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil { // its maker lives
			_ = g.file.Close()
			continue
		}
		if cerr := g.Close(); cerr != nil && !errors.Is(cerr, fs.ErrPermission) {
			err = errors.Join(err, cerr, closeOnce(g.file))
		}
	}
	return err
}

// set bounds the group.
func (g *Group) set(l Limits) error {
	// a group that takes no process is of no use: so it is in a threaded tree, and where the mount is read-only
	if err := unix.Faccessat(unix.AT_FDCWD, filepath.Join(g.dir, "cgroup.procs"), unix.W_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%w: it cannot be joined: %w", ErrUnavailable, err)
	}
	var err error
	if g.held.Memory, err = g.limit(l.MemoryBytes, "memory.max", strconv.FormatInt(l.MemoryBytes, 10)); err != nil {
		return err
	}
	if g.held.Memory {
		// swap would be memory again; kernels and machines without it have no such file
		_ = put(g.dir, "memory.swap.max", "0")
		_ = put(g.dir, "memory.oom.group", "1")
	}
	if g.held.Processes, err = g.limit(int64(l.Processes), "pids.max", strconv.Itoa(l.Processes)); err != nil {
		return err
	}
	quota := fmt.Sprintf("%d %d", l.CPUPercent*(cpuPeriod/100), cpuPeriod)
	g.held.CPU, err = g.limit(int64(l.CPUPercent), "cpu.max", quota)
	return err
}

// limit writes one, unless it is zero or the controller is not there. A controller that is there and refuses is an error: nobody would notice.
func (g *Group) limit(n int64, file, value string) (bool, error) {
	if n <= 0 {
		return false, nil
	}
	err := put(g.dir, file, value)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cgroup: %s: %w", file, err)
	}
	return true, nil
}

// Holds tells which of the limits the kernel enforces.
func (g *Group) Holds() Held { return g.held }

// FD is the group's folder, for syscall.SysProcAttr.CgroupFD: the child is born in it. It is valid until Close.
func (g *Group) FD() int { return int(g.file.Fd()) }

// Add moves a process into the group: one that waits, and has no children yet.
func (g *Group) Add(pid int) error {
	if err := put(g.dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("cgroup: join: %w", err)
	}
	return nil
}

// Kill ends every process of the group. It does not wait.
func (g *Group) Kill() error {
	err := put(g.dir, "cgroup.kill", "1")
	if errors.Is(err, fs.ErrNotExist) { // before Linux 5.14
		return g.killEach()
	}
	return err
}

// killEach stops the group, so that it cannot fork away from us, and kills one after the other.
func (g *Group) killEach() error {
	if err := put(g.dir, "cgroup.freeze", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pids, err := g.processes()
	for _, pid := range pids {
		if kerr := unix.Kill(pid, unix.SIGKILL); kerr != nil && !errors.Is(kerr, unix.ESRCH) {
			err = errors.Join(err, kerr)
		}
	}
	if terr := put(g.dir, "cgroup.freeze", "0"); terr != nil && !errors.Is(terr, fs.ErrNotExist) {
		err = errors.Join(err, terr)
	}
	return err
}

// processes lists the group's own; 0 would be one of another process namespace, which cannot be named here.
func (g *Group) processes() (pids []int, err error) {
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	for _, f := range strings.Fields(string(text)) {
		if pid, aerr := strconv.Atoi(f); aerr == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// Close kills what is left, waits until it is gone, and removes the group. It may be called again after an error.
func (g *Group) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	for {
		err := remove(g.dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return closeOnce(g.file)
		}
		if kerr := g.Kill(); kerr != nil && !errors.Is(kerr, fs.ErrNotExist) {
			return kerr
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cgroup: %d processes do not end: %w", g.left(), err)
		case <-time.After(endPause):
		}
	}
}

// remove takes away a group and those made in it.
func remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = remove(filepath.Join(dir, e.Name()))
		}
	}
	return os.Remove(dir)
}

func (g *Group) left() int {
	pids, _ := g.processes()
	return len(pids)
}

func closeOnce(f *os.File) error {
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
