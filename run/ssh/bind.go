package ssh

import (
	"bytes"
	"errors"

	xssh "golang.org/x/crypto/ssh"
)

// Reasons why an agent does not sign; they never leave this package but as a refusal's kind.
var (
	errBind      = errors.New("ssh: the binding cannot be read or is not signed by the host")
	errForwarded = errors.New("ssh: a forwarded agent does not sign")
	errUnbound   = errors.New("ssh: the connection is not bound to a host")
	errNotLogin  = errors.New("ssh: what is to be signed is no login")
	errElsewhere = errors.New("ssh: the key does not belong to this host and user")
)

// maxAgentMessage is the longest message that an agent reads, in bytes: OpenSSH's own limit.
const maxAgentMessage = 256 << 10

// binding is a session-bind@openssh.com: the host proved, by a signature over the session's id, that the client is connected to it.
type binding struct {
	host      xssh.PublicKey
	session   []byte
	forwarded bool
}

// parseBinding reads and verifies it (openssh PROTOCOL.agent, section 1).
func parseBinding(contents []byte) (b binding, err error) {
	var m struct {
		HostKey   []byte
		Session   []byte
		Signature []byte
		Forwarded bool
	}
	var sig xssh.Signature
	if len(contents) > maxAgentMessage || xssh.Unmarshal(contents, &m) != nil || xssh.Unmarshal(m.Signature, &sig) != nil {
		return b, errBind
	}
	if n := len(m.Session); n < 20 || n > 64 { // SHA-1 to SHA-512
		return b, errBind
	}
	if b.host, err = xssh.ParsePublicKey(m.HostKey); err != nil {
		return binding{}, errBind
	}
	if b.host.Type() == xssh.KeyAlgoRSA && sig.Format == xssh.KeyAlgoRSA { // SHA-1
		return binding{}, errBind
	}
	if err := b.host.Verify(m.Session, &sig); err != nil {
		return binding{}, errBind
	}
	b.session, b.forwarded = bytes.Clone(m.Session), m.Forwarded
	return b, nil
}

// login is what a client lets sign to log in (RFC 4252, section 7), with the host's key where it says so (openssh PROTOCOL, section 1.8).
type login struct {
	user    string
	key     []byte
	session []byte
	host    []byte // nil: not said
}

const methodHostBound = "publickey-hostbound-v00@openssh.com"

// parseLogin reads it. Anything else that could be signed, a file's digest (SSHSIG) or a certificate, is none.
func parseLogin(data []byte) (l login, err error) {
	var m struct {
		Session   []byte
		Type      byte
		User      string
		Service   string
		Method    string
		Signed    bool
		Algorithm string
		Key       []byte
		Rest      []byte `ssh:"rest"`
	}
	if len(data) > maxAgentMessage || xssh.Unmarshal(data, &m) != nil {
		return l, errNotLogin
	}
	const userAuthRequest = 50
	if m.Type != userAuthRequest || m.Service != "ssh-connection" || !m.Signed {
		return l, errNotLogin
	}
	l = login{user: m.User, key: m.Key, session: m.Session}
	switch m.Method {
	case "publickey":
		if len(m.Rest) > 0 {
			return login{}, errNotLogin
		}
	case methodHostBound:
		var h struct{ Key []byte }
		if xssh.Unmarshal(m.Rest, &h) != nil || len(h.Key) == 0 {
			return login{}, errNotLogin
		}
		l.host = h.Key
	default:
		return login{}, errNotLogin
	}
	return l, nil
}
