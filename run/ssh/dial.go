package ssh

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// clientVersion says what we are as plainly as OpenSSH does.
const clientVersion = "SSH-2.0-Zavhoz"

// dialled is a connection fresh from its handshake.
type dialled struct {
	client *xssh.Client
	hidden []secret.Secret // the name and address it went to
}

// dial connects and logs in. What it opened is wiped when it returns.
func dial(ctx context.Context, t Target, timeout time.Duration) (*dialled, error) {
	keys, err := ParseHostKeys(t.HostKey)
	if err != nil {
		return nil, unpinned(t.Handle, err)
	}
	s, err := t.Open()
	if err != nil {
		return nil, err
	}
	defer s.Wipe()
	auth, err := methods(t, s)
	if err != nil {
		return nil, err
	}
	verified := false
	config := &xssh.ClientConfig{
		User:              t.User,
		Auth:              auth,
		ClientVersion:     clientVersion,
		HostKeyAlgorithms: algorithms(keys),
		HostKeyCallback: func(_ string, _ net.Addr, key xssh.PublicKey) error {
			for _, k := range keys {
				if k.Type() == key.Type() && bytes.Equal(k.Marshal(), key.Marshal()) {
					verified = true
					return nil
				}
			}
			return errMismatch
		},
	}
	config.SetDefaults()
	conn, client, err := handshake(ctx, string(s.Host.Reveal()), t.Port, config, timeout)
	if err != nil {
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, ctx.Err()
		}
		return nil, classify(t, err, verified)
	}
	return &dialled{client, hiddenOf(s.Host, conn.RemoteAddr())}, nil
}

// handshake dials and logs in, within timeout and ctx.
func handshake(ctx context.Context, host string, port int, config *xssh.ClientConfig, timeout time.Duration) (net.Conn, *xssh.Client, error) {
	if port == 0 {
		port = 22
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // a server that accepts and says nothing
	c, chans, reqs, err := xssh.NewClientConn(conn, "", config)
	if !stop() && err == nil { // the deadline came with the end of the handshake
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, xssh.NewClient(c, chans, reqs), nil
}

func unpinned(handle string, cause error) error {
	return fault.New(fault.HostKeyUnknown, handle+": no host key is pinned, so the server cannot be told from an impostor",
		"a person pins it: zavhoz resource edit "+handle+" --pin-host-key").Because(cause)
}

func unusable(handle string, cause error) error {
	return fault.New(fault.RemoteAuthFailed, handle+": its ssh key cannot be used: wrong format or passphrase",
		"a person gives another: zavhoz resource edit "+handle+" --secret ssh_key=@FILE").Because(cause)
}

// methods builds the logins: the key first, then the password.
func methods(t Target, s Secrets) ([]xssh.AuthMethod, error) {
	var all []xssh.AuthMethod
	if !s.Key.IsZero() {
		signer, err := parseKey(s)
		if err != nil {
			return nil, unusable(t.Handle, err)
		}
		all = append(all, xssh.PublicKeys(signer))
	}
	if !s.Password.IsZero() {
		password := string(s.Password.Reveal()) // the library wants a string; it lives as long as the handshake
		all = append(all, xssh.Password(password), xssh.KeyboardInteractive(
			func(_, _ string, questions []string, _ []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range answers {
					answers[i] = password
				}
				return answers, nil
			}))
	}
	if len(all) == 0 {
		return nil, fault.New(fault.SecretMissing, t.Handle+": neither an ssh key nor a password is in the vault",
			"a person adds one: zavhoz resource edit "+t.Handle+" --secret ssh_key=@FILE").Because(errNoSecret)
	}
	return all, nil
}

func parseKey(s Secrets) (xssh.Signer, error) {
	var signer xssh.Signer
	var err error
	if s.Passphrase.IsZero() {
		signer, err = xssh.ParsePrivateKey(s.Key.Reveal())
	} else if signer, err = xssh.ParsePrivateKeyWithPassphrase(s.Key.Reveal(), s.Passphrase.Reveal()); err != nil {
		signer, err = xssh.ParsePrivateKey(s.Key.Reveal()) // a passphrase is kept, but the key needs none
	}
	if err != nil || signer.PublicKey().Type() != xssh.KeyAlgoRSA {
		return signer, err
	}
	if as, ok := signer.(xssh.AlgorithmSigner); ok { // never fall back to SHA-1 for an old server
		return xssh.NewSignerWithAlgorithms(as, []string{xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256})
	}
	return signer, nil
}
