package rotate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"strconv"
	"strings"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Names in the record of a rotation.
const (
	noteOld  = "old_key" // the public keys, as authorized_keys has them
	notePath = "authorized_keys"
)

// sshKey exchanges a server's key.
var _ = register(Method{
	Name:    "ssh_key",
	Summary: "a new ed25519 key, put into authorized_keys beside the old one, which is removed by the login of the new one",
	Rank:    20, Fields: []string{"ssh_key"},
	Serves: func(r vault.Resource, _ Request) bool {
		_, has := r.Sealed["ssh_key"]
		return r.Kind == "server" && has
	},
	Steps: func(_ vault.Resource, q Request) []string {
		return []string{"make an ed25519 key, and seal it", "log in with the old key and put the new one beside it in " + authorizedPath(q) + ", with the same options and comment",
			"log in anew with the new key alone", "the server has the new key from then on; sessions that are open go on",
			"when the overlap has ended, log in with the new key and remove the old one's line"}
	},
	Notes:   sshNotes,
	Make:    makeKey,
	Install: installKey,
	Prove:   func(ctx context.Context, j *Job) error { return j.login(ctx, newLogin) },
	Works:   func(ctx context.Context, j *Job) error { return j.login(ctx, oldLogin) },
	Retire:  retireKey,
	Undo:    undoKey,
})

func authorizedPath(q Request) string {
	if q.AuthorizedKeys == "" {
		return defaultAuthorized
	}
	return q.AuthorizedKeys
}

// sshNotes keeps the old public key: it must be known when the private one is no longer kept.
func sshNotes(_ context.Context, j *Job, q Request) (map[string]string, error) {
	path := authorizedPath(q)
	if len(path) > 1024 || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, fault.New(fault.InvalidArgument, "the path of authorized_keys is one line of at most 1024 bytes", "")
	}
	s, err := j.secrets(oldLogin)
	if err != nil {
		return nil, err
	}
	defer s.Wipe()
	old, err := publicOf(s)
	if err != nil {
		return nil, fault.New(fault.SecretInvalid, j.Resource.Handle+": its ssh key cannot be read", "a person gives another: zavhoz resource edit "+j.Resource.Handle+" --secret ssh_key=@FILE").Because(err)
	}
	return map[string]string{noteOld: line(old), notePath: path}, nil
}

func line(k xssh.PublicKey) string { return strings.TrimSpace(string(xssh.MarshalAuthorizedKey(k))) }

// publicOf gives the public half of a login's key.
func publicOf(s ssh.Secrets) (xssh.PublicKey, error) {
	signer, err := xssh.ParsePrivateKey(s.Key.Reveal())
	if err != nil && !s.Passphrase.IsZero() {
		signer, err = xssh.ParsePrivateKeyWithPassphrase(s.Key.Reveal(), s.Passphrase.Reveal())
	}
	if err != nil {
		return nil, err
	}
	return signer.PublicKey(), nil
}

func makeKey(context.Context, *Job, Request) (map[string]secret.Secret, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	block, err := xssh.MarshalPrivateKey(private, "zavhoz")
	if err != nil {
		return nil, err
	}
	defer clear(block.Bytes)
	return map[string]secret.Secret{"ssh_key": secret.New(pem.EncodeToMemory(block))}, nil
}

// login says by which key.
type login func(j *Job) (key, passphrase secret.Secret, err error)

func oldLogin(j *Job) (key, passphrase secret.Secret, err error) {
	if key, err = j.Old("ssh_key"); err != nil {
		return key, passphrase, err
	}
	passphrase, err = j.Old("ssh_key_passphrase")
	return key, passphrase, err
}

func newLogin(j *Job) (key, passphrase secret.Secret, err error) {
	key, err = j.New("ssh_key")
	return key, passphrase, err
}

// secrets opens what a login needs: the address and one key, never the password, so that it is the key that is let in.
func (j *Job) secrets(by login) (s ssh.Secrets, err error) {
	if s.Key, s.Passphrase, err = by(j); err != nil {
		return s, err
	}
	if s.Key.IsZero() {
		return s, fault.New(fault.SecretMissing, j.Resource.Handle+": the key is no longer in the vault", "`zavhoz resource rotate "+j.Resource.Handle+" --resume` ends the rotation")
	}
	r := j.Resource
	s.Host, err = j.t.o.Opener.Open(r.FieldRef("host"), r.Sealed["host"].Value)
	if err != nil {
		s.Wipe()
	}
	return s, err
}

// target is the server, logged in to by one key, with the host key that is pinned.
func (j *Job) target(by login) ssh.Target {
	r := j.Resource
	port, _ := strconv.Atoi(r.Attrs["port"]) // the kind has checked it; 0 means the usual one
	return ssh.Target{ID: r.ID, Version: r.Version, Handle: r.Handle, User: r.Attrs["user"], Port: port, HostKey: r.Attrs["host_key"],
		Open: func() (ssh.Secrets, error) { return j.secrets(by) }}
}

// connected does something with a connection of its own, that no pool has kept.
func (j *Job) connected(do func(*ssh.Pool) error) error {
	pool := ssh.NewPool(ssh.Options{})
	defer pool.Close()
	return do(pool)
}

// login proves that a key is let in, by a new connection.
func (j *Job) login(ctx context.Context, by login) error {
	return j.connected(func(pool *ssh.Pool) error {
		s, err := pool.Connect(ctx, j.target(by))
		if err == nil {
			s.Close()
		}
		return err
	})
}

// change rewrites authorized_keys by one key's login. edit gives the new text; the same text changes nothing. What others write meanwhile is read anew.
func (j *Job) change(ctx context.Context, by login, edit func([]byte) ([]byte, error)) error {
	return j.connected(func(pool *ssh.Pool) error {
		f, was, err := j.authorized(ctx, pool, j.target(by))
		if err != nil {
			return j.explain(err)
		}
		defer f.close()
		for try := 1; ; try++ {
			fresh, err := edit(was)
			if err != nil {
				return err
			}
			if bytes.Equal(fresh, was) {
				return nil
			}
			err = f.replace(ctx, was, fresh)
			if !errors.Is(err, errMoved) || try == 3 {
				return j.explain(err)
			}
			if was, err = f.read(ctx); err != nil {
				return j.explain(err)
			}
		}
	})
}

// authorized reads the file by the way that the server offers: its shell, or where a key may do sftp only, that.
func (j *Job) authorized(ctx context.Context, pool *ssh.Pool, t ssh.Target) (remoteFile, []byte, error) {
	path := j.Rotation.Notes[notePath]
	shell := &shellFile{pool, t, path}
	was, err := shell.read(ctx)
	if !errors.Is(err, errNoShell) {
		return shell, was, check(was, err)
	}
	f, err := openSFTP(ctx, pool, t, path)
	if err != nil {
		return nil, nil, err
	}
	was, err = f.read(ctx)
	if err = check(was, err); err != nil {
		f.close()
	}
	return f, was, err
}

// check refuses what a script could not carry, and what no authorized_keys is.
func check(was []byte, err error) error {
	if err == nil && (len(was) > maxAuthorized || bytes.IndexByte(was, 0) >= 0) {
		return errAbsent
	}
	return err
}

// explain says what went wrong with the file. Nothing was changed.
func (j *Job) explain(err error) error {
	h := j.Resource.Handle
	switch {
	case errors.Is(err, errNoShell):
		return fault.New(fault.NotSupported, h+": the server gives the key neither a shell nor sftp, so its authorized_keys cannot be changed; nothing was", "a person changes it there, and gives the new key: --method guided").Because(err)
	case errors.Is(err, errAbsent):
		return fault.New(fault.NotSupported, h+": the server has no authorized_keys where it was looked for; nothing was changed", "say where it is: --authorized-keys PATH").Because(err)
	case errors.Is(err, errMoved):
		return fault.New(fault.Busy, h+": others change authorized_keys on the server in this moment; nothing was changed", "try again: --resume").Because(err)
	case errors.Is(err, errShort):
		return fault.New(fault.NotPermitted, h+": authorized_keys could not be written on the server (a full disk, or no right to); it is as it was", "see to it there, then: --resume").Because(err)
	}
	return err
}

// keys gives the old and the new public key.
func (j *Job) keys() (old, fresh xssh.PublicKey, err error) {
	if old, _, _, _, err = xssh.ParseAuthorizedKey([]byte(j.Rotation.Notes[noteOld])); err != nil {
		return nil, nil, err
	}
	s := ssh.Secrets{}
	if s.Key, err = j.New("ssh_key"); err != nil {
		return nil, nil, err
	}
	defer s.Wipe()
	fresh, err = publicOf(s)
	return old, fresh, err
}

func installKey(ctx context.Context, j *Job) error {
	old, fresh, err := j.keys()
	if err != nil {
		return err
	}
	return j.change(ctx, oldLogin, func(was []byte) ([]byte, error) {
		out, n := addKey(was, old, fresh)
		if n == 0 {
			return nil, fault.New(fault.NotSupported, j.Resource.Handle+": the key that is in use is not in the server's authorized_keys; nothing was changed", "abort, and say where it is: --authorized-keys PATH")
		}
		return out, nil
	})
}

// retireKey removes the old key by the login of the new one: who was not let in by it could not remove the last key that is.
func retireKey(ctx context.Context, j *Job) error {
	old, fresh, err := j.keys()
	if err != nil {
		return err
	}
	err = j.change(ctx, newLogin, func(was []byte) ([]byte, error) {
		if _, n := removeKey(was, fresh); n == 0 { // the login was by another line or file: nothing says that it lasts
			return nil, fault.New(fault.NotSupported, j.Resource.Handle+": the new key is not in the server's authorized_keys any more; the old one stays", "put it there, or --abort")
		}
		out, _ := removeKey(was, old)
		return out, nil
	})
	if err != nil || j.old.ID == "" {
		return err
	}
	if j.login(ctx, oldLogin) == nil {
		j.Remark("the old key is still let in, by another file of the server: remove it there")
	}
	return nil
}

// undoKey removes the new key by the login of the old one.
func undoKey(ctx context.Context, j *Job) error {
	_, fresh, err := j.keys()
	if err != nil {
		return err
	}
	return j.change(ctx, oldLogin, func(was []byte) ([]byte, error) {
		out, _ := removeKey(was, fresh)
		return out, nil
	})
}
