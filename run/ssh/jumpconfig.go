package ssh

import (
	"fmt"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// Inner is a server that a run's own ssh logs in to by itself, through another one.
type Inner struct {
	Handle  string
	User    string
	Port    int    // 0: 22
	HostKey string // pinned: see Target.HostKey
}

// direct holds for every host that is no alias of a bastion: known by the pinned key of the server whose handle HostKeyAlias names, logged in to with the
// agent.
const direct = `  StrictHostKeyChecking yes
  CheckHostIP no
  UpdateHostKeys no
  VerifyHostKeyDNS no
  PreferredAuthentications publickey
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  HostbasedAuthentication no
  AddKeysToAgent no
  ForwardAgent no
  ForwardX11 no
  CanonicalizeHostname no
  BatchMode yes
  ConnectTimeout 60
  ServerAliveInterval 60
`

// JumpConfig writes what goes behind ClientConfig's, for a run that has an Agent at socket and may jump through the servers of those handles: for each inner
// server the alias THROUGH+INNER, whose host the bastion of THROUGH finds by the handle; and for any address
//
//	ssh -J THROUGH -o HostKeyAlias=INNER USER@ADDRESS
//
// The known_hosts is another than that of the aliases: under the same name that has the key of a bastion.
func JumpConfig(inner []Inner, through []string, knownHostsPath, socket string) (config, knownHosts []byte, err error) {
	for _, p := range []string{knownHostsPath, socket} {
		if !strings.HasPrefix(p, "/") || !plain(p, pathChars, 1024) {
			return nil, nil, fmt.Errorf("%w: a path", errAlias)
		}
	}
	var c, k strings.Builder
	for _, in := range inner {
		keys, err := ParseHostKeys(in.HostKey)
		switch {
		case err != nil:
			return nil, nil, unpinned(in.Handle, err)
		case !plain(in.Handle, handleChars, 64), !plain(in.User, userChars, 64), in.Port < 0 || in.Port > 65535:
			return nil, nil, fmt.Errorf("%w: %q", errAlias, in.Handle)
		}
		for _, key := range keys {
			k.WriteString(in.Handle + " " + string(xssh.MarshalAuthorizedKey(key)))
		}
		for _, by := range through {
			if by == in.Handle {
				continue
			}
			if !plain(by, handleChars, 64) {
				return nil, nil, fmt.Errorf("%w: %q", errAlias, by)
			}
			port := in.Port
			if port == 0 {
				port = 22
			}
			fmt.Fprintf(&c, "Host %s+%s\n  HostName %s\n  Port %d\n  User %s\n  HostKeyAlias %s\n  ProxyJump %s\n", by, in.Handle, in.Handle, port, in.User, in.Handle, by)
		}
	}
	fmt.Fprintf(&c, "Host *\n  UserKnownHostsFile %s\n  GlobalKnownHostsFile %s\n  IdentityAgent %s\n%s", knownHostsPath, knownHostsPath, socket, direct)
	return []byte(c.String()), []byte(k.String()), nil
}
