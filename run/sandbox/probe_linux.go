package sandbox

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/landlock"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Probe tries every feature by using it, the first time; later calls give the same report. What a setting of the system says is only asked to
// explain a failure.
func (s *Sandbox) Probe(ctx context.Context) Report {
	s.probing.Lock()
	defer s.probing.Unlock()
	if s.probed != nil && (!s.probed.Level.Less(policy.LevelSealed) || time.Since(s.probedAt) < probeAgain) {
		return *s.probed
	}
	r := s.probe(ctx)
	if ctx.Err() == nil { // what was cut short proves nothing
		s.probed, s.probedAt = &r, time.Now()
	}
	return r
}

// probeAgain is how long a weak report holds: it may have come of a moment without descriptors, processes or memory.
const probeAgain = 30 * time.Second

const probeTimeout = 20 * time.Second

func (s *Sandbox) probe(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r := Report{Level: policy.LevelOpen}
	add := func(f Feature, err error, lost, fix string) bool {
		if f.OK = err == nil; !f.OK {
			f.Lost, f.Fix = lost+why(err), fix
		}
		r.Features = append(r.Features, f)
		return f.OK
	}
	var scope error
	if s.abi < landlock.ABIScope {
		scope = fault.Newf(fault.NotSupported, "Landlock's ABI is %d", s.abi)
	}
	basic := add(Feature{Name: "filter_and_landlock"}, s.tryBasic(ctx), "there is no level basic", "Linux 5.14 or later with Landlock and seccomp in the kernel (lsm=…,landlock)")
	add(Feature{Name: "signal_scope"}, scope, "at the level basic a command can signal other processes of the same user", "Linux 6.12 or later")
	sealed := add(Feature{Name: "namespaces"}, s.trySealed(ctx), "no view and no network of a run's own: there is no level sealed, and in runs of a daemon of root OpenSSH does not start", namespaceFix())
	overlay := error(nil)
	if sealed {
		overlay = s.tryOverlay(ctx)
	} else {
		overlay = errNoNamespaces
	}
	add(Feature{Name: "overlay"}, overlay, "working directories cannot be mounted as overlays", "Linux 5.11 or later, and a file system for temporary files that takes extended attributes")
	users := error(nil)
	if !s.ids.choose {
		users = errOneUser
	}
	ownUsers := add(Feature{Name: "run_users"}, users, "a run has the daemon's own user: what else runs as that user can read a run's environment", "run the daemon as a service of the system that may change users (deploy/)")
	if !s.o.System {
		users = errNoSystem
	}
	add(Feature{Name: "system_user"}, users, "an agent's own shell has the daemon's user: there is no level vaulted", "install the service of the system, with a user of its own (deploy/)")
	add(Feature{Name: "control_groups"}, s.tryGroup(), "memory and processes are bounded one by one (rlimits), not together", "delegate a control group: a systemd service with Delegate=yes, or a user session")
	switch {
	case sealed && ownUsers && s.o.System:
		r.Level = policy.LevelVaulted
	case sealed:
		r.Level = policy.LevelSealed
	case basic:
		r.Level = policy.LevelBasic
	}
	return r
}

var (
	errNoNamespaces = fault.New(fault.NotSupported, "there are no namespaces", "")
	errOneUser      = fault.New(fault.NotSupported, "the daemon cannot change users", "")
	errNoSystem     = fault.New(fault.NotSupported, "the daemon was not started as a service of the system", "")
)

// why gives an error's own sentence.
func why(err error) string {
	f := fault.Of(err)
	if e := errnoOf(err); e != 0 && !strings.Contains(f.Message, e.Error()) {
		return " (" + f.Message + ": " + e.Error() + ")"
	}
	return " (" + f.Message + ")"
}

// namespaceFix looks for what usually stands in the way.
func namespaceFix() string {
	is := func(p, v string) bool {
		b, err := os.ReadFile(p)
		return err == nil && strings.TrimSpace(string(b)) == v
	}
	switch {
	case is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"):
		return "install the AppArmor profile of deploy/apparmor: this distribution lets only named programs make user namespaces"
	case is("/proc/sys/kernel/unprivileged_userns_clone", "0"):
		return "sysctl kernel.unprivileged_userns_clone=1"
	case is("/proc/sys/user/max_user_namespaces", "0"):
		return "sysctl user.max_user_namespaces=10000"
	}
	return "a container must allow user namespaces and an unmasked /proc; outside of one, Linux 5.12 or later with user namespaces"
}

// trySealed makes a whole box, with a listener that needs a right of its own.
func (s *Sandbox) trySealed(ctx context.Context) error {
	b, err := s.open(BoxOptions{RunID: "probe"}, policy.LevelSealed)
	if err != nil {
		return err
	}
	defer b.Close()
	p, err := b.Start(ctx, Spec{Argv: []string{"probe"}, Listen: []Listen{{"probe", "127.0.0.1:443"}}, try: func(*composer) {}})
	if err != nil {
		return err
	}
	return b.finish(ctx, p)
}

// finish lets a probe run to its end.
func (b *Box) finish(ctx context.Context, p *Process) error {
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	if err := p.Run(); err != nil {
		return err
	}
	if exit := p.Wait(); p.late != nil {
		return p.late
	} else if exit.Code != 0 {
		return fault.Newf(fault.IsolationMissing, "the confined process ended with %d", exit.Code)
	}
	return nil
}

// tryOverlay has a box write a file, finds it in the layer, and not in the folder.
func (s *Sandbox) tryOverlay(ctx context.Context) error {
	dir, err := s.folders.Make("probe-")
	if err != nil {
		return internal("make a folder", err)
	}
	defer removeAll(dir)
	b, err := s.open(BoxOptions{RunID: "probe"}, policy.LevelSealed)
	if err != nil {
		return err
	}
	defer b.Close()
	file := filepath.Join(dir, "probe")
	p, err := b.Start(ctx, Spec{Argv: []string{"probe"}, Workdirs: []Workdir{{dir, Overlay, true}}, try: func(c *composer) {
		c.call("write", unix.SYS_OPENAT, unix.AT_FDCWD, c.str(file), unix.O_CREAT|unix.O_WRONLY, 0o600)
	}})
	if err == nil {
		err = b.finish(ctx, p)
	}
	if err != nil {
		return err
	}
	changes, err := b.Changes()
	if _, missing := os.Lstat(file); err == nil && (len(changes) != 1 || changes[0].Path != "probe" || missing == nil) {
		err = fault.New(fault.IsolationMissing, "the overlay did not keep a change apart", "")
	}
	return err
}

// tryBasic connects through the filter: to the one address that is given, where somebody answers, and in vain to another.
func (s *Sandbox) tryBasic(ctx context.Context) error {
	b, err := s.open(BoxOptions{RunID: "probe"}, policy.LevelBasic)
	if err != nil {
		return err
	}
	defer b.Close()
	open, shut := [4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 2}
	p, err := b.Start(ctx, Spec{Argv: []string{"probe"}, Listen: []Listen{{"probe", "127.0.0.1:3128"}}, try: func(c *composer) {
		fd, to := c.dial(shut, 3128)
		c.call("connect elsewhere", unix.SYS_CONNECT, fd, to, 16).refused(unix.EACCES).unless(unix.EACCES, unix.ECONNREFUSED)
		fd, to = c.dial(open, 3128)
		c.call("connect", unix.SYS_CONNECT, fd, to, 16)
		c.call("send", unix.SYS_WRITE, fd, c.str("z"), 1).must(1)
		c.call("hear", unix.SYS_READ, fd, c.room(1), 1).must(1) // else all may be over before the connection is accepted
	}})
	if err != nil {
		return err
	}
	heard := make(chan bool, 1)
	go func() { heard <- hears(p.Listener("probe")) }()
	err = b.finish(ctx, p) // which closes the listener
	if ok := <-heard; err == nil && !ok {
		err = fault.New(fault.IsolationMissing, "a connection did not arrive through the filter", "")
	}
	return err
}

func hears(l net.Listener) bool {
	c, err := l.Accept()
	if err != nil {
		return false
	}
	defer c.Close()
	b := make([]byte, 1)
	n, _ := c.Read(b)
	_, err = c.Write(b[:n])
	return err == nil && n == 1 && b[0] == 'z'
}

// dial makes a socket and an address for connect(2).
func (c *composer) dial(ip [4]byte, port uint16) (cell, addr) {
	fd, sa := c.cell(), c.room(16)
	c.at(sa, 0, uint16(unix.AF_INET))
	c.at(sa, 2, []byte{byte(port >> 8), byte(port)})
	c.at(sa, 4, ip[:])
	c.call("socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0).into(fd)
	return fd, sa
}
