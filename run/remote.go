package run

import (
	"context"
	"strconv"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
)

// The fields of a resource that an ssh connection is made from (kind server).
const (
	attrUser    = "user"
	attrPort    = "port"
	attrHostKey = "host_key"

	fieldHost       = "host"
	fieldKey        = "ssh_key"
	fieldPassphrase = "ssh_key_passphrase"
	fieldPassword   = "password"
)

// remote runs the command on the server, over a pooled connection that this process made.
func (e *Engine) remote(ctx context.Context, l *live, p *plan, stdin []byte, out, errs *masked) (exit, error) {
	r := p.uses[0].Resource
	s, err := e.pool.Connect(ctx, e.target(r))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return exit{}, err
	}
	for _, h := range s.Hidden() {
		l.mask.add(r.Handle+"."+fieldHost, h)
	}
	x, err := s.Run(ctx, ssh.Command{Line: p.remote, Stdin: stdin, Stdout: out, Stderr: errs})
	return exit{x.Code}, err
}

// target describes the server; its secrets are opened only if a connection has to be dialled.
func (e *Engine) target(r vault.Resource) ssh.Target {
	port, _ := strconv.Atoi(r.Attrs[attrPort]) // the kind has checked it; 0 means the usual one
	return ssh.Target{
		ID: r.ID, Version: r.Version, Handle: r.Handle, User: r.Attrs[attrUser], Port: port, HostKey: r.Attrs[attrHostKey],
		Open: func() (s ssh.Secrets, err error) {
			defer func() {
				if err != nil {
					s.Wipe()
				}
			}()
			if s.Host, err = e.unseal(r, fieldHost); err != nil {
				return s, err
			}
			if s.Key, err = e.unseal(r, fieldKey); err != nil {
				return s, err
			}
			if s.Passphrase, err = e.unseal(r, fieldPassphrase); err != nil {
				return s, err
			}
			s.Password, err = e.unseal(r, fieldPassword)
			return s, err
		},
	}
}
