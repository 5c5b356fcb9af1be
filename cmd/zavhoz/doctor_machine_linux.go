package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func (m machine) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(m.root, name))
	return strings.TrimSpace(string(b))
}

// memory looks at swap, hibernation, core files and tracing.
func (m machine) memory() []finding {
	keys := "keys are in memory that is never swapped; values in use may be"
	out := []finding{{name: "swap", fine: "none, or encrypted or in memory", fix: "encrypt it (cryptsetup), or use zram; then swapoff -a and swapon -a"}}
	if open := m.openSwap(); len(open) > 0 {
		out[0].lost = "the swap " + strings.Join(open, ", ") + " is not encrypted: " + keys
	}
	h := finding{name: "hibernation", fine: "this machine does not hibernate", fix: "mask hibernate.target (systemctl), or hibernate to an encrypted disk"}
	if strings.Contains(" "+m.read("sys/power/state")+" ", " disk ") && m.read("sys/power/resume") != "0:0" {
		h.lost = "this machine can hibernate: then all its memory is written to the disk, values in use too"
	}
	c := finding{name: "core files", fine: "the daemon leaves none, and its memory is closed to others"}
	if p := m.read("proc/sys/kernel/core_pattern"); strings.HasPrefix(p, "|") {
		c.fine += "; those of other programs go to a program (" + strings.Fields(strings.TrimPrefix(p, "|"))[0] + ")"
	}
	t := finding{name: "tracing", fine: "a program may look into its own children only", fix: "sysctl -w kernel.yama.ptrace_scope=1"}
	if s := m.read("proc/sys/kernel/yama/ptrace_scope"); s == "" || s == "0" {
		t.lost = "programs of one uid may look into each other: not into the daemon, but into the commands that you type, and into your shell"
	}
	return append(out, h, c, t)
}

// openSwap lists the swap that lies readable on a disk: a file, or a device that is neither a mapping of dm-crypt nor memory.
func (m machine) openSwap() (open []string) {
	for i, line := range strings.Split(m.read("proc/swaps"), "\n") {
		f := strings.Fields(line)
		if i == 0 || len(f) < 2 {
			continue
		}
		name := f[0]
		if real, err := filepath.EvalSymlinks(name); err == nil {
			name = real
		}
		base := filepath.Base(name)
		crypt := strings.HasPrefix(m.read("sys/block/"+base+"/dm/uuid"), "CRYPT-")
		if f[1] == "partition" && (strings.HasPrefix(base, "zram") || crypt) {
			continue
		}
		open = append(open, f[0])
	}
	return open
}

// hasACL tells whether a file has a list of access that says more than its mode.
func hasACL(name string) bool {
	n, err := unix.Lgetxattr(name, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// wider tells whether group or others may do anything with a file.
func wider(st fs.FileInfo) bool { return st.Mode().Perm()&0o077 != 0 }

// changeable says who else than this user and root may change a folder's entries; "" for nobody. A sticky folder's entries are their owners'.
func changeable(dir string) string {
	st, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return ""
	case s.Uid != 0 && int(s.Uid) != os.Geteuid():
		return fmt.Sprintf("belongs to user %d", s.Uid)
	case st.Mode()&fs.ModeSticky != 0:
		return ""
	case st.Mode().Perm()&0o002 != 0:
		return "can be changed by everybody"
	case st.Mode().Perm()&0o020 != 0 && s.Gid != 0 && int(s.Gid) != os.Getegid():
		return fmt.Sprintf("can be changed by group %d", s.Gid)
	}
	return ""
}
