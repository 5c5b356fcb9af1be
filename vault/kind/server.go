package kind

import (
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var serverUser = lazyregexp.New(`^[a-z_][a-z0-9_-]{0,31}$`)

var _ = register(Kind{
	Name:    "server",
	Summary: "a machine reached by ssh: its address, and a key or a password",
	Fields: []Field{
		{Name: "host", Class: Hidden, Required: true, Help: "name or address; never shown", Aliases: []string{"address", "ip"}, Clean: cleanHost, Check: checkHost},
		{Name: "user", Class: Public, Default: "root", Help: "whom to log in as", Aliases: []string{"ssh_user"}, Steers: true, Check: shape(serverUser,
			"a user has 1 to 32 lower-case letters, digits, `_` and `-`, and begins with a letter or `_`")},
		{Name: "port", Class: Public, Default: "22", Help: "port of its ssh service", Aliases: []string{"ssh_port"}, Steers: true, Check: checkPort},
		{Name: "ssh_key", Class: Secret, Multiline: true, Help: "private key, PEM or OpenSSH", Aliases: []string{"key", "private_key"}, Clean: cleanPEM, Check: checkKeyShape},
		{Name: "ssh_key_passphrase", Class: Secret, MinLen: 1, Help: "opens the key if it is encrypted", Aliases: []string{"passphrase"}},
		{Name: "password", Class: Secret, Help: "of the user, where there is no key"},
		{Name: "host_key", Class: Public, Multiline: true, Help: "the server's public key, to know it again", Steers: true, Clean: cleanHostKeys, Check: checkHostKeys},
	},
	Check: checkServer,
	Uses: func(attrs map[string]string) string {
		return `commands on it by ssh as ` + attrs["user"] + `: ["ssh", HANDLE, COMMAND…]`
	},
	Placeholder: func(map[string]string, string) Shape { return Shape{Prefix: "none-", Length: 32} },
	Deliveries:  []policy.Delivery{policy.SSH},
	StandIn:     []policy.Delivery{policy.SSH},
})

// checkServer asks for a way in, and opens an encrypted key with its passphrase: a wrong one would only show when somebody needs the server.
func checkServer(d *Draft) error {
	key, passphrase := d.Secrets["ssh_key"], d.Secrets["ssh_key_passphrase"]
	if key.IsZero() {
		if d.Secrets["password"].IsZero() {
			return missing("server", "ssh_key")
		}
		if !passphrase.IsZero() {
			return Field{Name: "ssh_key_passphrase", Class: Secret}.bad("there is no ssh_key that it could open")
		}
	} else {
		switch err := openKey(key.Reveal(), passphrase.Reveal()); {
		case err == errKeyEncrypted:
			return missing("server", "ssh_key_passphrase")
		case err == errKeyPassphrase:
			return Field{Name: "ssh_key_passphrase", Class: Secret}.bad(err.Error())
		case err != nil:
			return Field{Name: "ssh_key", Class: Secret}.bad(err.Error())
		}
		if !passphrase.IsZero() && !keyIsLocked(key.Reveal()) {
			d.Warn("the key is not encrypted, so its passphrase is not used")
		}
	}
	for _, f := range HostKeyFingerprints(d.Attrs["host_key"]) {
		d.Note("host key " + f)
	}
	if d.Attrs["host_key"] == "" {
		d.Warn("without host_key the first connection is refused: compare the server's fingerprint and set it")
	}
	return nil
}
