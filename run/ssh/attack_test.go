package ssh_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"slices"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// The key is open for the length of a handshake and gone before the first command, which meets no trace of it on the server either.
func TestAttack47_TheKeyIsGoneBeforeTheCommand(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{})
	tg := target(server)
	var given ssh.Secrets
	tg.Open = func() (ssh.Secrets, error) {
		given = ssh.Secrets{Host: secret.FromString(server.Host), Key: secret.New(bytes.Clone(server.Key))}
		return given, nil
	}
	s, err := p.Connect(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	if !given.Key.IsZero() || !given.Host.IsZero() {
		t.Error("the connection stands, and what opened it is not wiped")
	}
	var out, errs bytes.Buffer
	if _, err := s.Run(t.Context(), ssh.Command{Line: `env; cat /proc/$$/environ 2>/dev/null; ssh-add -L 2>&1; echo "agent: ${SSH_AUTH_SOCK:-none}"`, Stdout: &out, Stderr: &errs}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(server.Key)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(out.String(), line) {
			t.Errorf("the server sees a line of the key")
		}
	}
	if !strings.Contains(out.String(), "agent: none\n") {
		t.Errorf("an agent was forwarded:\n%s", out.String())
	}
}

// A hostile server asks our side for what clients forward: it is refused, and it was never offered anything but the one command.
func TestAttack48_NothingIsForwarded(t *testing.T) {
	pub, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := xssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan evil, 1)
	go func() { seen <- serveEvil(l, hostKey) }()
	p := ssh.NewPool(ssh.Options{})
	_, _, exit, err := do(t, p, ssh.Target{
		ID: "res_one", Handle: "prod_vps_1", User: "u", Port: l.Addr().(*net.TCPAddr).Port, HostKey: string(xssh.MarshalAuthorizedKey(host)),
		Open: func() (ssh.Secrets, error) {
			return ssh.Secrets{Host: secret.FromString("127.0.0.1"), Password: secret.FromString("a password")}, nil
		},
	}, ssh.Command{Line: "true"})
	if err != nil || exit.Code != 0 {
		t.Fatal(exit, err)
	}
	p.Close()
	_ = l.Close()
	got := <-seen
	if got.err != nil {
		t.Fatal(got.err)
	}
	if len(got.opened) > 0 {
		t.Errorf("our side opened %v for the server", got.opened)
	}
	if !slices.Equal(got.channels, []string{"session"}) || !slices.Equal(got.asked, []string{"exec"}) {
		t.Errorf("the client asked for channels %v and requests %v", got.channels, got.asked)
	}
}

// evil is what a hostile server got to see.
type evil struct {
	channels []string // that the client asked for
	asked    []string // requests on its session, but for signs of life
	opened   []string // channels that the client let the server open
	err      error
}

// serveEvil takes one connection and one command, during which it reaches back.
func serveEvil(l net.Listener, key ed25519.PrivateKey) (e evil) {
	signer, err := xssh.NewSignerFromKey(key)
	if err != nil {
		return evil{err: err}
	}
	config := &xssh.ServerConfig{PasswordCallback: func(xssh.ConnMetadata, []byte) (*xssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(signer)
	conn, err := l.Accept()
	if err != nil {
		return evil{err: err}
	}
	defer conn.Close()
	c, channels, reqs, err := xssh.NewServerConn(conn, config)
	if err != nil {
		return evil{err: err}
	}
	go xssh.DiscardRequests(reqs)
	for nc := range channels {
		e.channels = append(e.channels, nc.ChannelType())
		ch, asks, err := nc.Accept()
		if err != nil {
			return evil{err: err}
		}
		for ask := range asks {
			e.asked = append(e.asked, ask.Type)
			_ = ask.Reply(true, nil)
			if ask.Type != "exec" {
				continue
			}
			for _, kind := range []string{"auth-agent@openssh.com", "auth-agent", "forwarded-tcpip", "direct-tcpip", "x11", "forwarded-streamlocal@openssh.com", "session"} {
				if back, _, err := c.OpenChannel(kind, nil); err == nil {
					e.opened = append(e.opened, kind)
					_ = back.Close()
				}
			}
			_, _ = ch.SendRequest("exit-status", false, xssh.Marshal(struct{ Code uint32 }{0}))
			_ = ch.Close()
		}
	}
	return e
}
