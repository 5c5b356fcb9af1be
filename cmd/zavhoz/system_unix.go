//go:build unix

package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// trustedFolder refuses a folder that somebody else than root and uid could change, or put another in the place of: there they could take the
// socket's name, and the agents' tokens with it.
func trustedFolder(dir string, uid int) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fault.New(fault.DaemonUnavailable, "the folder of the agents' socket is not there", "make it: install -d -m 755 "+home.Quote(dir)).Because(err)
	}
	for at := real; ; at = filepath.Dir(at) {
		st, err := os.Lstat(at)
		if err != nil {
			return untrusted(at).Because(err)
		}
		s, ok := st.Sys().(*syscall.Stat_t)
		if !ok || !st.IsDir() || s.Uid != 0 && int(s.Uid) != uid {
			return untrusted(at)
		}
		// in a sticky folder others make names, and take none away: above the socket's own folder that is no harm
		if st.Mode().Perm()&0o022 != 0 && (at == real || st.Mode()&os.ModeSticky == 0) {
			return untrusted(at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func untrusted(at string) *fault.Error {
	return fault.New(fault.KeyFileExposed, "other users can change "+home.Quote(at)+", so they could stand in the place of the agents' socket", "choose a folder that only root or the service's user can write to, such as /run/zavhoz")
}

// groupID finds a group by name or number.
func groupID(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err == nil {
		var n uint64
		if n, err = strconv.ParseUint(g.Gid, 10, 31); err == nil {
			return int(n), nil
		}
	}
	return 0, fault.New(fault.InvalidArgument, "the group of agent_socket is not known here", "make it (groupadd --system zavhoz-agents), or name another in config.yaml").Because(err)
}

// othersSocket tells whether a service's socket belongs to a user that this one is not: else whoever connects there has the daemon's own uid, or is root, from whom nothing is kept.
func othersSocket(sock string) bool {
	st, err := os.Stat(sock)
	if err != nil {
		return os.Geteuid() != 0 // it is not there yet; who will make it, this user is not to be
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && os.Geteuid() != 0 && int(s.Uid) != os.Geteuid()
}
