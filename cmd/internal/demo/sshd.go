package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// machine is the server of the play: a real sshd where this machine has one, else a small SSH server of the demo's own.
type machine struct {
	port    int
	keyFile string // of the user, for the vault
	key     []byte // the same, to look for in the transcript
	real    bool
	stop    func()
	mu      sync.Mutex
	seen    []string
}

// newMachine starts it on loopback.
func newMachine(dir string) (*machine, error) {
	pub, user, err := newKey()
	if err != nil {
		return nil, err
	}
	m := &machine{keyFile: filepath.Join(dir, "id_ed25519"), key: user}
	if err := os.WriteFile(m.keyFile, user, 0o600); err != nil {
		return nil, err
	}
	_, host, err := newKey()
	if err != nil {
		return nil, err
	}
	for _, p := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if _, err := os.Stat(p); err == nil && m.startReal(p, dir, pub, host) == nil {
			return m, nil
		}
	}
	return m, m.startOwn(pub, host)
}

func newKey() (ssh.PublicKey, []byte, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(priv, "demo")
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		return nil, nil, err
	}
	return signer.PublicKey(), pem.EncodeToMemory(block), nil
}

// startReal starts OpenSSH's sshd with a configuration of its own; no running service is touched.
func (m *machine) startReal(sshd, dir string, user ssh.PublicKey, host []byte) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	hostFile, auth, conf := filepath.Join(dir, "host"), filepath.Join(dir, "authorized"), filepath.Join(dir, "sshd.conf")
	text := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n", port, hostFile, auth)
	if err := errors.Join(os.WriteFile(hostFile, host, 0o600), os.WriteFile(auth, ssh.MarshalAuthorizedKey(user), 0o600), os.WriteFile(conf, []byte(text), 0o600)); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		_ = os.MkdirAll("/run/sshd", 0o755) // sshd's own folder, made by its service elsewhere
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", conf)
	cmd.Stderr, cmd.WaitDelay = logLines(m.note), time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for range 100 {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			c.Close()
			m.port, m.real = port, true
			m.stop = func() { _ = cmd.Process.Kill(); <-ended }
			return nil
		}
		select {
		case <-ended:
			return errors.New("sshd ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
	_ = cmd.Process.Kill()
	<-ended
	return errors.New("sshd does not listen")
}

// logLines notes each login that sshd tells of.
type logLines func(string)

// Write takes sshd's log.
func (l logLines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if _, what, ok := strings.Cut(line, "Accepted "); ok {
			how, _, _ := strings.Cut(what, " from ")
			l("sshd accepted " + how + " (the true key)")
		}
	}
	return len(p), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startOwn is the fallback: an SSH server that runs what it is told by /bin/sh, for the demo's key alone.
func (m *machine) startOwn(user ssh.PublicKey, host []byte) error {
	signer, err := ssh.ParsePrivateKey(host)
	if err != nil {
		return err
	}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(user.Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	conf.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.port, m.stop = l.Addr().(*net.TCPAddr).Port, func() { l.Close() }
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.answer(c, conf)
		}
	}()
	return nil
}

func (m *machine) answer(c net.Conn, conf *ssh.ServerConfig) {
	conn, chans, reqs, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		ch, rs, err := nc.Accept()
		if err != nil {
			continue
		}
		go func() {
			for r := range rs {
				var p struct{ Command string }
				ok := r.Type == "exec" && ssh.Unmarshal(r.Payload, &p) == nil
				_ = r.Reply(ok, nil)
				if !ok {
					continue
				}
				m.note("ssh login with the true key; ran: " + p.Command)
				cmd := exec.Command("/bin/sh", "-c", p.Command)
				cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
				_ = cmd.Run()
				_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ C uint32 }{uint32(max(0, cmd.ProcessState.ExitCode()))}))
				ch.Close()
			}
		}()
	}
}

func (m *machine) note(s string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, s)
}

func (m *machine) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen
	m.seen = nil
	return s
}
