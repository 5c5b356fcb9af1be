package ssh

import (
	"net"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Identity is one key that an agent signs with, for one server and one user.
type Identity struct {
	Handle  string
	User    string
	HostKey string // pinned: see Target.HostKey
	// Open opens the sealed fields, late: once for the public half, and for each signature. The agent wipes them.
	Open func() (Secrets, error)
}

// AgentOptions of NewAgent. Identities and Record are required.
type AgentOptions struct {
	Identities []Identity
	// Record takes one Event a signature and a refusal; what it refuses is not signed. With several identities, a refusal names no handle.
	Record      func(Event) error
	Connections int           // at once; default 16
	Idle        time.Duration // after which a connection that asks nothing is closed; default 10 min
}

// Agent answers the ssh-agent protocol for a run whose own ssh must log in itself, to jump through a server. It signs a login to the server and user that a
// key belongs to, on a connection that this very server has proved to be the other end of (session-bind@openssh.com), and nothing else: no file, no
// other host, no user beside, nothing that came through a forwarded agent. It takes no keys, gives none away, and cannot be locked.
type Agent struct {
	o       AgentOptions
	keys    []agentKey
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	from    map[net.Listener]struct{}
	shut    bool
	wait    sync.WaitGroup
	denials *tally
}

type agentKey struct {
	Identity
	public xssh.PublicKey
	hosts  []xssh.PublicKey
}

// NewAgent opens each key once, for its public half. Close it.
func NewAgent(o AgentOptions) (*Agent, error) {
	if len(o.Identities) == 0 || o.Record == nil {
		return nil, errAgent
	}
	if o.Connections <= 0 {
		o.Connections = 16
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	a := &Agent{o: o, conns: map[net.Conn]struct{}{}, from: map[net.Listener]struct{}{}}
	handle := ""
	if len(o.Identities) == 1 {
		handle = o.Identities[0].Handle
	}
	a.denials = newTally(o.Record, handle)
	for _, id := range o.Identities {
		hosts, err := ParseHostKeys(id.HostKey)
		if err != nil {
			return nil, unpinned(id.Handle, err)
		}
		signer, err := id.signer()
		if err != nil {
			return nil, err
		}
		a.keys = append(a.keys, agentKey{id, signer.PublicKey(), hosts})
	}
	return a, nil
}

// signer opens the key. It lives as long as its user keeps it.
func (id Identity) signer() (xssh.Signer, error) {
	s, err := id.Open()
	if err != nil {
		return nil, err
	}
	defer s.Wipe()
	if s.Key.IsZero() {
		return nil, fault.New(fault.SecretMissing, id.Handle+": there is no ssh key that an agent could sign with", "a person adds one: zavhoz resource edit "+id.Handle+" --secret ssh_key=@FILE").Because(errNoSecret)
	}
	signer, err := parseKey(s)
	if err != nil {
		return nil, unusable(id.Handle, err)
	}
	return signer, nil
}

// Serve answers connections from l until it or the agent is closed, and closes l. ErrClosed is how it ends by Close.
func (a *Agent) Serve(l net.Listener) error {
	defer l.Close()
	a.mu.Lock()
	if a.shut {
		a.mu.Unlock()
		return ErrClosed
	}
	a.from[l] = struct{}{}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.from, l)
	}()
	for {
		conn, err := l.Accept()
		if err == nil && !a.admit(conn) {
			_ = conn.Close()
		}
		if a.closed() {
			return ErrClosed
		}
		if err != nil {
			return err
		}
	}
}

// admit answers a connection, unless there are too many.
func (a *Agent) admit(conn net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shut || len(a.conns) >= a.o.Connections {
		return false
	}
	a.conns[conn] = struct{}{}
	a.wait.Go(func() { a.answer(conn) })
	return true
}

func (a *Agent) closed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shut
}

func (a *Agent) answer(conn net.Conn) {
	defer func() {
		_ = recover() // one connection's defect must not end the daemon
		_ = conn.Close()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.conns, conn)
	}()
	c := agentConn{a: a}
	c.serve(conn)
}

// Close ends all connections, and waits for them.
func (a *Agent) Close() error {
	a.mu.Lock()
	a.shut = true
	for l := range a.from {
		_ = l.Close()
	}
	for c := range a.conns {
		_ = c.Close()
	}
	a.mu.Unlock()
	a.wait.Wait()
	return nil
}
