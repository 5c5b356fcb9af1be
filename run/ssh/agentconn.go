package ssh

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// The messages of the ssh-agent protocol that are answered (draft-miller-ssh-agent); all others, among them those that add, remove and lock, get a failure
// unread. The library's own server of the protocol reads keys that are to be added, and logs what it refuses: a flood of log lines for who wants one.
const (
	agentFailure   = 5
	agentSuccess   = 6
	agentList      = 11
	agentKeys      = 12
	agentSign      = 13
	agentSignature = 14
	agentExtension = 27
)

// The hash that a client wants of an RSA key.
const flagSHA512 = 4

// agentConn is one connection: bindings belong to it alone.
type agentConn struct {
	a       *Agent
	bound   *binding
	refused error // once a binding was refused, nothing is signed any more
}

// serve answers until the other side ends, is silent for too long, or sends what is too long.
func (c *agentConn) serve(conn net.Conn) {
	var head [4]byte
	for {
		_ = conn.SetDeadline(time.Now().Add(c.a.o.Idle))
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		size := binary.BigEndian.Uint32(head[:])
		if size == 0 || size > maxAgentMessage {
			return
		}
		msg := make([]byte, size)
		if _, err := io.ReadFull(conn, msg); err != nil {
			return
		}
		reply := c.reply(msg)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func (c *agentConn) reply(msg []byte) []byte {
	switch msg[0] {
	case agentList:
		return c.list()
	case agentSign:
		var m struct {
			Key, Data []byte
			Flags     uint32
		}
		if xssh.Unmarshal(msg[1:], &m) != nil {
			break
		}
		if sig, err := c.sign(m.Key, m.Data, m.Flags); err == nil {
			return append([]byte{agentSignature}, xssh.Marshal(struct{ Signature []byte }{xssh.Marshal(sig)})...)
		}
	case agentExtension:
		var m struct {
			Kind     string
			Contents []byte `ssh:"rest"`
		}
		if xssh.Unmarshal(msg[1:], &m) == nil && m.Kind == "session-bind@openssh.com" && c.bind(m.Contents) == nil {
			return []byte{agentSuccess}
		}
	}
	return []byte{agentFailure}
}

// list gives the public keys; to a client that is bound to a server only that server's, as a server takes no more than a few guesses.
func (c *agentConn) list() []byte {
	keys := c.a.keys
	if c.bound != nil {
		keys = c.a.at(c.bound.host)
	}
	reply := binary.BigEndian.AppendUint32([]byte{agentKeys}, uint32(len(keys)))
	for _, k := range keys {
		reply = append(reply, xssh.Marshal(struct {
			Blob    []byte
			Comment string
		}{k.public.Marshal(), k.Handle})...)
	}
	return reply
}

// bind takes a binding, once, from a client that speaks for itself, with the key of a server that one of the keys belongs to.
func (c *agentConn) bind(contents []byte) error {
	b, err := parseBinding(contents)
	switch {
	case err != nil:
	case b.forwarded, c.bound != nil: // a second binding: what asks now is behind the first
		err = errForwarded
	case len(c.a.at(b.host)) == 0:
		err = errElsewhere
	}
	if err != nil {
		c.refused = err
		return c.deny(err)
	}
	c.bound = &b
	return nil
}

// at lists the keys for a server.
func (a *Agent) at(host xssh.PublicKey) (keys []agentKey) {
	for _, k := range a.keys {
		for _, h := range k.hosts {
			if bytes.Equal(h.Marshal(), host.Marshal()) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// sign signs a login to where the key belongs.
func (c *agentConn) sign(key, data []byte, flags uint32) (*xssh.Signature, error) {
	k, err := c.allowed(key, data)
	if err != nil {
		return nil, c.deny(err)
	}
	signer, err := k.signer()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(signer.PublicKey().Marshal(), key) {
		return nil, c.deny(errElsewhere) // the resource was edited
	}
	if err := c.a.o.Record(Event{Handle: k.Handle, Kind: KindSign}); err != nil {
		return nil, err
	}
	if as, ok := signer.(xssh.AlgorithmSigner); ok && k.public.Type() == xssh.KeyAlgoRSA {
		algorithm := xssh.KeyAlgoRSASHA256 // never SHA-1, whatever is asked for
		if flags&flagSHA512 != 0 {
			algorithm = xssh.KeyAlgoRSASHA512
		}
		return as.SignWithAlgorithm(nil, data, algorithm)
	}
	return signer.Sign(nil, data)
}

// allowed finds the key that may sign data on this connection.
func (c *agentConn) allowed(key, data []byte) (k agentKey, err error) {
	switch {
	case c.refused != nil:
		return k, c.refused
	case c.bound == nil:
		return k, errUnbound
	}
	l, err := parseLogin(data)
	if err != nil {
		return k, err
	}
	host := c.bound.host.Marshal()
	if !bytes.Equal(l.key, key) || !bytes.Equal(l.session, c.bound.session) || (l.host != nil && !bytes.Equal(l.host, host)) {
		return k, errElsewhere
	}
	for _, k := range c.a.at(c.bound.host) {
		if bytes.Equal(k.public.Marshal(), key) && k.User == l.user {
			return k, nil
		}
	}
	return k, errElsewhere
}

var denials = map[error]string{
	errBind: "agent-binding", errForwarded: "agent-forwarding", errUnbound: "agent-unbound", errNotLogin: "agent-signature", errElsewhere: "agent-destination",
}

// deny records why, and gives err.
func (c *agentConn) deny(err error) error {
	return errors.Join(err, c.a.denials.deny(denials[err], "", fault.NotPermitted))
}
