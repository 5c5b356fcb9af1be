package sandbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// Linux's requests that x/sys does not name on every architecture.
const (
	unlockPeer = 0x40045431 // TIOCSPTLCK
	openPeer   = 0x5441     // TIOCGPTPEER
)

// terminal makes a terminal in the box's own devpts. What is pushed into it (TIOCSTI) reaches the box alone.
func (c *composer) terminal(t *Terminal) {
	peer := c.cell()
	c.master, c.peer = c.cell(), peer
	c.call("open a terminal", unix.SYS_OPENAT, unix.AT_FDCWD, c.str("/dev/pts/ptmx"), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0).into(c.master)
	zero, size := c.room(8), c.room(8)
	c.at(size, 0, []uint16{clip(t.Rows), clip(t.Cols), 0, 0})
	c.call("unlock the terminal", unix.SYS_IOCTL, c.master, unlockPeer, zero)
	c.call("size the terminal", unix.SYS_IOCTL, c.master, unix.TIOCSWINSZ, size)
	c.call("open the terminal's side", unix.SYS_IOCTL, c.master, openPeer, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).into(peer)
}

// hostTerminal makes one without namespaces. The command holds its own side alone: Landlock lets it open no other.
func hostTerminal(t *Terminal) (master, peer *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "terminal")
	err = unix.IoctlSetPointerInt(fd, unlockPeer, 0)
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: clip(t.Rows), Col: clip(t.Cols)})
	}
	if err != nil {
		_ = master.Close()
		return nil, nil, err
	}
	side, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), openPeer, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC) // ours it must not become
	if errno != 0 {
		_ = master.Close()
		return nil, nil, errno
	}
	return master, os.NewFile(side, "terminal"), nil
}

func clip(n int) uint16 { return uint16(min(max(n, 1), 1<<15)) }

// resize sets the size; the kernel tells the command.
func resize(master *os.File, rows, cols int) {
	if raw, err := master.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: clip(rows), Col: clip(cols)})
		})
	}
}
