// Package ssh lets a run use a server that it knows by its handle only: key, password and address never leave this package.
//
// Three ways lead there. A Session runs one command in-process. A Bastion is an ssh server on a run's own loopback that the run's ssh, scp, sftp, rsync,
// git and ansible connect to by the handle (ClientConfig writes what makes a plain `ssh HANDLE` do so); it bridges each of their sessions to a pooled
// connection. An Agent signs the login of a run's own ssh, where a policy wants it to jump through a server by itself (Jump, JumpConfig); it is off by default.
//
// Promise: the server is the one whose host key is pinned, or nothing is sent. Credentials are opened for a handshake or a signature and wiped after it. A
// command is sent at most once: a pooled connection that turns out dead is dialled again only before the command was sent. Errors name the handle and a
// class, never the address. Of a bastion: sessions only, nothing is forwarded in either direction but jumps; a session or a jump is recorded before it begins and when it has
// ended, or does not run; what comes back passes the caller's masks. Of the agent: one login, to the host and user that a key belongs to, on a connection
// that this host has proved to be the other end of.
//
// Under patterns of commands (policy.Policy.Exec) a bastion runs those commands and nothing that would start others: no shell; no terminal, as a
// pager on one is a shell; no subsystem. What was compared is what is sent, with the quotes gone that git puts around a path. sftp, scp and rsync pass only where
// the policy says so by itself (Copy): whoever writes files as a user can become that user, so with Copy the patterns are a guide, not a wall.
//
// A jump is a tunnel of the run's ssh to the next server: to its port of ssh only, never where patterns hold, as they would not hold behind it. It opens no
// host that a command on the server in between could not reach. What passes is encrypted from end to end: no mask sees it, and no record tells what was run;
// that there was a jump, where to, how long and how much, and each signature, are on record. The far side tells the run its addresses and its host key. A
// person who lets a run jump to a server gives it that server's shell.
//
// Masking: text gets markers and is held back as long as it may become a value, however long that takes. Terminals and protocols with frames keep every
// length, and hold nothing back that the other side waits for: SFTP is masked packet by packet, the far sides of rsync, git and others (binaries, in frames.go)
// from one silence to the next. When such a stream was changed, the client's stderr says so.
//
// Attacks stopped: reading the key (threat-model.md 47), using it for a file or another host (48), tunnels, options and the address (49); variables that steer
// the far side (23); values read back (68, with its limit); an address in an error text (65); floods, half-open and malformed input (67).
//
// Limits: a command on the server can say anything in disguise (38, 49, 68): compressed, encoded by hand, a byte at a time, by SFTP reads that share a value. A
// download whose values were masked is not the file: rsync and git notice, sftp is told on stderr. What a remote command leaves running when it is
// stopped is the server's business (sshd passes no signal on to root's commands); the address behind a NAT is not known here: it is masked where sshd
// shows it behind its name, and elsewhere not. Clients of a bastion must speak AES-GCM (OpenSSH since 6.2).
package ssh

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Target is a server as its resource describes it.
type Target struct {
	ID      string // of the resource; with Version the key of pooled connections: an edited resource gets new ones
	Version uint64
	Handle  string
	User    string
	Port    int    // 0: 22
	HostKey string // pinned, as in known_hosts without the name: "ssh-ed25519 AAAA…"; several, a line each
	// Open opens the sealed fields, late: only when a connection is dialled. The pool wipes them.
	Open func() (Secrets, error)
}

// Secrets is what a handshake needs. Key or Password may be empty, not both.
type Secrets struct {
	Host       secret.Secret // name or address, without a port
	Key        secret.Secret // PEM or OpenSSH
	Passphrase secret.Secret // of Key
	Password   secret.Secret
}

// Wipe erases all four.
func (s *Secrets) Wipe() {
	for _, x := range []secret.Secret{s.Host, s.Key, s.Passphrase, s.Password} {
		x.Wipe()
	}
}

// The sentinels of this package.
var (
	ErrClosed    = errors.New("ssh: the pool is closed")
	errNoKey     = errors.New("ssh: no usable host key is pinned")
	errMismatch  = errors.New("ssh: the host key is another")
	errNoSecret  = errors.New("ssh: neither key nor password")
	errNoStatus  = errors.New("ssh: the connection ended without an exit status")
	errLeft      = errors.New("ssh: the session was left")
	errNoSession = errors.New("ssh: the server opened no session in time")
	errOptions   = errors.New("ssh: a bastion needs a handle, a connection, both masks and a record")
	errAlias     = errors.New("ssh: an alias cannot be written into a configuration")
	errAgent     = errors.New("ssh: an agent needs a key and a record")
	errMask      = errors.New("ssh: the redactor failed")
)

// Class says why a connection failed, without saying where to.
type Class string

// The classes, frozen: they stand in Details["class"].
const (
	Refused     Class = "refused"
	TimedOut    Class = "timeout"
	DNS         Class = "dns"
	Unreachable Class = "unreachable"
	Protocol    Class = "protocol"
	Broken      Class = "broken" // while the command ran
	Sessions    Class = "sessions"
	NoCommand   Class = "command" // the server took the login and refused the command
)

var sentences = map[Class]string{
	Refused:     "the server refuses connections on its ssh port",
	TimedOut:    "the server did not answer in time",
	DNS:         "the server's name could not be resolved",
	Unreachable: "there is no way to the server's network",
	Protocol:    "the server does not speak an ssh that is safe to use",
	Broken:      "the connection broke while the command ran; the command may still run",
	Sessions:    "the server opens no session",
	NoCommand:   "the server refused to start the command",
}

// failed makes the fault for a class.
func failed(t Target, c Class, cause error) error {
	next := "call list_managed_servers to see its state, or try again later"
	if c == Broken {
		next = "look at what the command did before you run it again"
	}
	return fault.New(fault.ConnectionFailed, t.Handle+": "+sentences[c], next).With("class", string(c)).Because(cause)
}

// classify turns a dial or handshake error into a fault. verified says that the server had proved its host key.
func classify(t Target, err error, verified bool) error {
	var dns *net.DNSError
	var timeout net.Error
	var algo *xssh.AlgorithmNegotiationError
	switch {
	case errors.Is(err, errMismatch), errors.As(err, &algo) && strings.Contains(algo.What, "host key"):
		return fault.New(fault.HostKeyMismatch, t.Handle+": the server shows another host key than the pinned one; nothing was sent",
			"a person finds out why; after a reinstall: zavhoz resource edit "+t.Handle+" --pin-host-key").Because(err)
	case errors.As(err, &dns):
		return failed(t, DNS, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return failed(t, Refused, err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return failed(t, Unreachable, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return failed(t, TimedOut, err)
	case verified && strings.Contains(err.Error(), "unable to authenticate"): // the library has no type for it
		return fault.New(fault.RemoteAuthFailed, t.Handle+": the server refused the login",
			"a person checks the user and key: zavhoz resource show "+t.Handle).Because(err)
	default:
		return failed(t, Protocol, err)
	}
}

// ParseHostKeys reads pinned host keys, a line each. Lines that start with # are comments.
func ParseHostKeys(text string) ([]xssh.PublicKey, error) {
	var keys []xssh.PublicKey
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, _, _, _, err := xssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoKey, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errNoKey
	}
	return keys, nil
}

// algorithms lists how the pinned keys may sign; SHA-1 and DSA never.
func algorithms(keys []xssh.PublicKey) []string {
	var all []string
	for _, k := range keys {
		switch k.Type() {
		case xssh.KeyAlgoRSA:
			all = append(all, xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256)
		default:
			all = append(all, k.Type())
		}
	}
	return all
}
