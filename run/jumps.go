package run

import (
	"slices"
	"strconv"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// jumps is what lets a run's own ssh go through one of its servers to another (policy.Policy.SSHAgent).
type jumps struct {
	ports []int            // of ssh, of every server of the run
	inner []vault.Resource // may be jumped through, and logged in to with the agent
}

// maxJumps is how many servers of one run may be jumped through or to: each pair is an alias.
const maxJumps = 16

// plot tells which servers may take part: by their own policy's word each, and none that takes certain commands only, as whoever logs in to it by a jump runs any.
// Below the level sealed nobody else is kept from the socket of an agent, so there is none.
func (o *outfit) plot(p *plan) error {
	for _, u := range p.uses {
		r := u.Resource
		if policy.Delivery(p.delivered[r.Handle]) != policy.SSH {
			continue
		}
		if port, err := strconv.Atoi(r.Attrs[attrPort]); err == nil {
			o.jumps.ports = append(o.jumps.ports, port)
		}
		if o.box.Named() && r.Policy.SSHAgent && len(r.Policy.Exec) == 0 {
			o.jumps.inner = append(o.jumps.inner, r)
		}
	}
	if len(o.jumps.inner) > maxJumps {
		return fault.New(fault.InvalidArgument, "too many servers with an ssh agent in one run", "use fewer resources at once")
	}
	return nil
}

// jump is what the bastion of r lets through; nil for nothing.
func (o *outfit) jump(r vault.Resource) *ssh.Jump {
	if !slices.ContainsFunc(o.jumps.inner, func(in vault.Resource) bool { return in.ID == r.ID }) {
		return nil
	}
	return &ssh.Jump{Ports: o.jumps.ports, Host: func(handle string) (secret.Secret, error) {
		for _, in := range o.jumps.inner {
			if in.Handle == handle {
				return o.e.unseal(in, fieldHost)
			}
		}
		return secret.Secret{}, nil
	}}
}

// agent opens the run's restricted agent with the keys of the servers that may take part, and gives what its ssh needs to find it, to go behind the aliases.
func (o *outfit) agent(dir string) (config []byte, err error) {
	var keys []ssh.Identity
	var inner []ssh.Inner
	var through []string
	for _, r := range o.jumps.inner {
		through = append(through, r.Handle)
		if _, has := r.Sealed[fieldKey]; !has {
			continue // it may be jumped through; nobody logs in to it by a password here
		}
		t := o.e.target(r)
		keys = append(keys, ssh.Identity{Handle: r.Handle, User: t.User, HostKey: t.HostKey, Open: t.Open})
		inner = append(inner, ssh.Inner{Handle: r.Handle, User: t.User, Port: t.Port, HostKey: t.HostKey})
	}
	if len(keys) == 0 {
		return nil, nil
	}
	a, err := ssh.NewAgent(ssh.AgentOptions{Identities: keys, Record: func(ev ssh.Event) error { return o.e.noteServer(o.l, ev) }})
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, func() { _ = a.Close() })
	socket, known := dir+"/agent", dir+"/jump_hosts"
	config, hosts, err := ssh.JumpConfig(inner, through, known, socket)
	if err != nil {
		return nil, err
	}
	o.service("agent", "unix:"+socket, a.Serve)
	o.extra = append(o.extra, "SSH_AUTH_SOCK="+socket)
	o.files = append(o.files, sandbox.File{Path: known, Data: hosts, Mode: 0o444})
	return config, nil
}
