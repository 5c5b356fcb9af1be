package ssh

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// HostKey is what a server shows, for a person to compare and pin.
type HostKey struct {
	Line        string // "ssh-ed25519 AAAA…": what Target.HostKey takes
	Type        string
	Fingerprint string // "SHA256:…", as ssh-keygen -l prints it
}

var errSeen = errors.New("ssh: seen")

// ScanHostKey asks the server for its host key and logs in to nothing. A person must compare the fingerprint with one that came another way: what answers
// may be an impostor.
func ScanHostKey(ctx context.Context, host secret.Secret, port int) (HostKey, error) {
	var key HostKey
	config := &xssh.ClientConfig{
		ClientVersion: clientVersion,
		HostKeyAlgorithms: []string{
			xssh.KeyAlgoED25519, xssh.KeyAlgoECDSA256, xssh.KeyAlgoECDSA384, xssh.KeyAlgoECDSA521, xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256,
		},
		HostKeyCallback: func(_ string, _ net.Addr, k xssh.PublicKey) error {
			key = HostKey{strings.TrimSpace(string(xssh.MarshalAuthorizedKey(k))), k.Type(), xssh.FingerprintSHA256(k)}
			return errSeen
		},
	}
	_, client, err := handshake(ctx, string(host.Reveal()), port, config, 15*time.Second)
	if client != nil {
		_ = client.Close()
	}
	if key.Line != "" {
		return key, nil
	}
	return key, classify(Target{Handle: "the server"}, err, false)
}
