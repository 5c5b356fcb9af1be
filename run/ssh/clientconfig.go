package ssh

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// Alias is a server as the clients of a run know it: by its handle.
type Alias struct {
	Handle  string
	Addr    netip.AddrPort // where its bastion listens: 127.0.1.N:22
	User    string         // whom the resource logs in as; "": left to the client, it changes nothing
	HostKey string         // Bastion.HostKey
}

// Sets of characters that mean nothing to the reader of an ssh_config.
const (
	handleChars = "abcdefghijklmnopqrstuvwxyz0123456789_.-"
	userChars   = handleChars + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	pathChars   = userChars + "/"
)

// plain tells whether s has 1 to limit characters of set, and does not begin like an option.
func plain(s, set string, limit int) bool {
	return s != "" && len(s) <= limit && s[0] != '-' && strings.Trim(s, set) == ""
}

// common holds for every alias: ask nothing, read no key, know the bastion by its key alone, forward nothing. GSSAPI is not named: clients that are built
// without it warn of it.
const common = `  StrictHostKeyChecking yes
  CheckHostIP no
  UpdateHostKeys no
  VerifyHostKeyDNS no
  PreferredAuthentications none
  PubkeyAuthentication no
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  HostbasedAuthentication no
  IdentitiesOnly yes
  IdentityFile none
  IdentityAgent none
  AddKeysToAgent no
  ForwardAgent no
  ForwardX11 no
  CanonicalizeHostname no
  ProxyCommand none
  ProxyJump none
  BatchMode yes
  ConnectTimeout 30
  SendEnv LANG LC_*
`

// ClientConfig writes what makes a plain `ssh HANDLE`, and whatever runs ssh, reach the bastions: an ssh_config, to lie at /etc/ssh/ssh_config or to be given
// by -F, and the known_hosts that it names by its absolute path. Hosts that are no alias are not its business.
func ClientConfig(aliases []Alias, knownHostsPath string) (config, knownHosts []byte, err error) {
	if !strings.HasPrefix(knownHostsPath, "/") || !plain(knownHostsPath, pathChars, 1024) {
		return nil, nil, fmt.Errorf("%w: the path of known_hosts", errAlias)
	}
	var c, k strings.Builder
	for _, a := range aliases {
		keys, err := ParseHostKeys(a.HostKey)
		switch {
		case !plain(a.Handle, handleChars, 64), a.User != "" && !plain(a.User, userChars, 64), !a.Addr.IsValid(), a.Addr.Port() == 0:
			return nil, nil, fmt.Errorf("%w: %q", errAlias, a.Handle)
		case err != nil:
			return nil, nil, err
		}
		host := a.Addr.Addr().Unmap().String()
		fmt.Fprintf(&c, "Host %s\n  HostName %s\n  Port %d\n  HostKeyAlias %s\n", a.Handle, host, a.Addr.Port(), a.Handle)
		if a.User != "" {
			fmt.Fprintf(&c, "  User %s\n", a.User)
		}
		fmt.Fprintf(&c, "  UserKnownHostsFile %s\n  GlobalKnownHostsFile %s\n%s", knownHostsPath, knownHostsPath, common)
		for _, key := range keys {
			k.WriteString(knownLine(a, host, key))
		}
	}
	return []byte(c.String()), []byte(k.String()), nil
}

// knownLine names the bastion as OpenSSH asks for it, by its alias, and as clients do that read no ssh_config, by where they connect to.
func knownLine(a Alias, host string, key xssh.PublicKey) string {
	names := a.Handle + "," + host
	if port := a.Addr.Port(); port != 22 {
		p := strconv.Itoa(int(port))
		names = fmt.Sprintf("%s,[%s]:%s,[%s]:%s", a.Handle, a.Handle, p, strings.Trim(net.JoinHostPort(host, ""), "[]:"), p)
	}
	return names + " " + string(xssh.MarshalAuthorizedKey(key))
}
