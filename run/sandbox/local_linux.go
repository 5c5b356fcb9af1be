package sandbox

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// maxSocketPath is the longest path that an address of a Unix socket holds, in bytes.
const maxSocketPath = 107

// local tells whether a listener is a socket in the box's own home, and gives its path.
func (l Listen) local() (string, bool) { return strings.CutPrefix(l.Addr, "unix:") }

// checkListen refuses a socket anywhere but in the box's own memory: elsewhere others could reach it, or it would stay.
func (b *Box) checkListen(list []Listen, dirs []Workdir) error {
	for _, l := range list {
		p, ok := l.local()
		switch {
		case !ok:
			continue
		case !b.Named():
			return fault.New(fault.IsolationMissing, "a Unix socket inside is possible at the level sealed alone", "zavhoz doctor tells what is missing for it")
		case !path.IsAbs(p) || path.Clean(p) != p || p == b.Home() || !within(p, b.Home()) || len(p) > maxSocketPath || strings.ContainsRune(p, 0):
			return fault.Newf(fault.InvalidArgument, "a Unix socket needs a clean path below the home of at most %d bytes, not %s", maxSocketPath, quoted(p))
		}
		for _, w := range dirs {
			if within(p, w.Path) {
				return fault.Newf(fault.InvalidArgument, "the Unix socket %s would lie in a working directory of the operator's", quoted(p))
			}
		}
	}
	return nil
}

// listenAll makes the listeners of one sort, each at its place in the Spec's order: local ones can be made once the home is there.
func (c *composer) listenAll(local bool) error {
	if c.listeners == nil {
		c.listeners = make([]cell, len(c.spec.Listen))
	}
	for i, l := range c.spec.Listen {
		p, is := l.local()
		if is != local {
			continue
		}
		if is {
			c.listeners[i] = c.listenLocal(p)
			continue
		}
		fd, err := c.listen(l)
		if err != nil {
			return err
		}
		c.listeners[i] = fd
	}
	return nil
}

// listenLocal makes a socket in the new root, which belongs to the command's user: it may take the name away, from itself alone.
func (b *builder) listenLocal(p string) cell {
	b.folder(path.Dir(p))
	sa, fd := b.room(2+maxSocketPath+1), b.cell() // struct sockaddr_un
	b.at(sa, 0, uint16(unix.AF_UNIX))
	b.at(sa, 2, []byte(p))
	what := "listen at unix:" + p
	b.call(what, unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0).into(fd)
	b.call(what, unix.SYS_BIND, fd, sa, 2+len(p)+1)
	b.call(what, unix.SYS_LISTEN, fd, 1024)
	return fd
}
