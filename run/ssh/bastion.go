package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// BastionOptions describe the bastion of one server in one run. Handle, Connect, Mask, Fill and Record are required: without one of them nothing could be
// kept to itself, or would be done without a record.
type BastionOptions struct {
	Handle string
	// User is whom the resource logs in as, to tell a client that asks for another; "": not told.
	User string
	// Connect opens a session on the server: Pool.Connect, after which the caller teaches Mask and Fill what Session.Hidden names.
	Connect func(ctx context.Context) (*Session, error)
	// Exec decides on a command line by the patterns of the operator; its refusal is shown to the client. Nil: everything may run. With it there is
	// no shell, no terminal and no subsystem.
	Exec func(line string) error
	// Copy lets sftp, scp and rsync pass where Exec is set: policy.Policy.AllowsCopy.
	Copy bool
	// Jump lets the run's own ssh go through the server to another (policy.Policy.SSHAgent). Nil: no tunnel. With Exec there is none either: it would be a
	// way around the patterns.
	Jump *Jump
	// Mask makes the redactor in front of dst for text, Fill the one that keeps every length, for terminals and protocols with frames. One stream
	// each; the bastion closes them.
	Mask, Fill func(dst io.Writer) io.WriteCloser
	// Record takes one Event; a refusal ends the session, or the bastion, whichever the event was of.
	Record func(Event) error
	Limits Limits
}

// Limits bound what the clients of a run can take. Zero fields take the default.
type Limits struct {
	Connections int           // at once; default 16
	Sessions    int           // at once, over all connections, jumps included; default 32
	Handshake   time.Duration // for a client to finish its key exchange; default 20 s
	Begin       time.Duration // for a session to ask for its command; default 60 s
	Idle        time.Duration // for a connection without sessions, and for a jump in which nothing passes; default 10 min
	Packets     int           // that wait unread because the server does not take them; default 1 << 18
}

func (l *Limits) setDefaults() {
	for n, def := range map[*int]int{&l.Connections: 16, &l.Sessions: 32, &l.Packets: 1 << 18} {
		if *n <= 0 {
			*n = def
		}
	}
	for d, def := range map[*time.Duration]time.Duration{&l.Handshake: 20 * time.Second, &l.Begin: time.Minute, &l.Idle: 10 * time.Minute} {
		if *d <= 0 {
			*d = def
		}
	}
}

// Bastion is the ssh server that the clients of one run reach one server through. It is made for a listener that only that run can connect to.
type Bastion struct {
	o      BastionOptions
	config *xssh.ServerConfig
	key    string
	ctx    context.Context // of everything that the bastion does
	stop   context.CancelFunc
	refuse *tally

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	clients   map[*client]struct{}
	sessions  int
	shut      bool
	wait      sync.WaitGroup
}

// NewBastion makes a bastion with a host key of its own, which no file ever holds. Close it.
func NewBastion(o BastionOptions) (*Bastion, error) {
	if o.Handle == "" || o.Connect == nil || o.Mask == nil || o.Fill == nil || o.Record == nil {
		return nil, errOptions
	}
	o.Limits.setDefaults()
	o.Record = recorder(o.Record)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := xssh.NewSignerFromSigner(key)
	if err != nil {
		return nil, err
	}
	b := &Bastion{
		o: o, key: strings.TrimSpace(string(xssh.MarshalAuthorizedKey(signer.PublicKey()))), refuse: newTally(o.Record, o.Handle),
		listeners: map[net.Listener]struct{}{}, clients: map[*client]struct{}{},
	}
	// The namespace is the authentication: whoever reaches the listener is the run.
	b.config = &xssh.ServerConfig{NoClientAuth: true, ServerVersion: clientVersion, Config: xssh.Config{Ciphers: countable}}
	b.config.AddHostKey(signer)
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b, nil
}

// HostKey gives the line for known_hosts, without the name: "ssh-ed25519 AAAA…".
func (b *Bastion) HostKey() string { return b.key }

// Serve takes clients from l until it or the bastion is closed, and closes l. ErrClosed is how it ends by Close.
func (b *Bastion) Serve(l net.Listener) error {
	defer l.Close()
	b.mu.Lock()
	if b.shut {
		b.mu.Unlock()
		return ErrClosed
	}
	b.listeners[l] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, l)
	}()
	for {
		conn, err := l.Accept()
		switch {
		case b.ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return ErrClosed
		case err != nil:
			return err
		}
		if !b.admit(conn) {
			_ = conn.Close()
		}
	}
}

// admit starts a client, unless there are too many.
func (b *Bastion) admit(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut || len(b.clients) >= b.o.Limits.Connections {
		return false
	}
	c := newClient(b, conn)
	b.clients[c] = struct{}{}
	b.wait.Go(func() {
		c.serve()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.clients, c)
	})
	return true
}

// seat takes one of the places for sessions.
func (b *Bastion) seat() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut || b.sessions >= b.o.Limits.Sessions {
		return false
	}
	b.sessions++
	return true
}

func (b *Bastion) unseat() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions--
}

// halt ends everything without waiting: what cannot be recorded must not go on.
func (b *Bastion) halt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	b.stop()
	for l := range b.listeners {
		_ = l.Close()
	}
	for c := range b.clients {
		c.hangUp()
	}
}

// Close ends every session and connection, and waits for them. Commands on the server get TERM and lose their session.
func (b *Bastion) Close() error {
	b.halt()
	b.wait.Wait()
	return nil
}
