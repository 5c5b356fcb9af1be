package kind

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

// What is wrong with a private key. The texts hold nothing of the key.
var (
	errKeyPublic     = errors.New("it is a public key; the private one is in the file of the same name without .pub")
	errKeyPuTTY      = errors.New("it is a PuTTY key; convert it with `puttygen KEY.ppk -O private-openssh -o KEY`")
	errKeyEncPKCS8   = errors.New("it is an encrypted PKCS#8 key, which ssh libraries do not open; convert it with `openssl pkcs8 -in KEY -out NEW` (or `openssl rsa`), the vault seals it anyway")
	errKeyNone       = errors.New("it is no private key: expected PEM (RSA, EC, PKCS#8) or OpenSSH, with its BEGIN and END lines")
	errKeyBroken     = errors.New("it has the form of a private key but cannot be read: copy the whole file again")
	errKeyTail       = errors.New("something follows the private key: give the key alone")
	errKeyWeak       = errors.New("it is a DSA or a short RSA key (under 2048 bits), which servers refuse; make a new one with `ssh-keygen -t ed25519`")
	errKeyRounds     = errors.New("its passphrase takes too many rounds to check; lower them with `ssh-keygen -p -a 64 -f KEY`")
	errKeyPassphrase = errors.New("its passphrase does not open the key")
	errKeyEncrypted  = errors.New("the key is encrypted: its passphrase is needed")
)

// maxRounds bounds bcrypt-pbkdf: some 10 ms a round. ssh-keygen writes 24.
const maxRounds = 512

// cleanPEM repairs what copying does to PEM: "\n" written as two characters, blanks around lines, a missing last line end.
func cleanPEM(v []byte) []byte {
	if bytes.Contains(v, []byte("-----BEGIN")) && !bytes.ContainsRune(bytes.TrimSpace(v), '\n') {
		v = bytes.ReplaceAll(v, []byte(`\r\n`), []byte("\n"))
		v = bytes.ReplaceAll(v, []byte(`\n`), []byte("\n"))
	}
	lines := bytes.Split(bytes.TrimSpace(v), []byte("\n"))
	out := make([]byte, 0, len(v)+1)
	for _, l := range lines {
		out = append(append(out, bytes.TrimSpace(l)...), '\n')
	}
	return out
}

// oneBlock gives the PEM block that v is, or says what v is instead.
func oneBlock(v []byte) (*pem.Block, error) {
	switch {
	case bytes.HasPrefix(v, []byte("PuTTY-User-Key-File")):
		return nil, errKeyPuTTY
	case bytes.HasPrefix(v, []byte("-----BEGIN PUBLIC KEY")), bytes.HasPrefix(v, []byte("-----BEGIN RSA PUBLIC KEY")),
		bytes.HasPrefix(v, []byte("---- BEGIN SSH2 PUBLIC KEY")), isAuthorizedKey(v):
		return nil, errKeyPublic
	}
	if !bytes.HasPrefix(v, []byte("-----BEGIN ")) {
		return nil, errKeyNone
	}
	b, rest := pem.Decode(v)
	switch {
	case b == nil:
		return nil, errKeyBroken
	case b.Type == "ENCRYPTED PRIVATE KEY":
		return nil, errKeyEncPKCS8
	case !strings.HasSuffix(b.Type, "PRIVATE KEY"):
		return nil, errKeyNone
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errKeyTail
	}
	return b, nil
}

func isAuthorizedKey(v []byte) bool {
	_, _, _, _, err := ssh.ParseAuthorizedKey(v)
	return err == nil
}

// checkKeyShape is the Check of a private key field by itself: with an encrypted key, what can be told without its passphrase.
func checkKeyShape(v []byte) error {
	b, err := oneBlock(v)
	if err != nil {
		return err
	}
	if err := checkRounds(b); err != nil {
		return err
	}
	key, err := ssh.ParseRawPrivateKey(v)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil
	case err != nil:
		return errKeyBroken
	}
	return checkStrength(key)
}

// openKey checks that a private key opens: with the passphrase where it is encrypted.
func openKey(v, passphrase []byte) error {
	_, err := ssh.ParseRawPrivateKey(v)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return nil // checkKeyShape has said what there was to say
	}
	if len(passphrase) == 0 {
		return errKeyEncrypted
	}
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(v, passphrase)
	if err != nil {
		return errKeyPassphrase
	}
	return checkStrength(key)
}

// keyIsLocked tells whether a valid private key is encrypted.
func keyIsLocked(v []byte) bool {
	_, err := ssh.ParseRawPrivateKey(v)
	var locked *ssh.PassphraseMissingError
	return errors.As(err, &locked)
}

func checkStrength(key any) error {
	if k, isRSA := key.(*rsa.PrivateKey); isRSA {
		if k.N.BitLen() < 2048 {
			return errKeyWeak
		}
		if k.N.BitLen() > 16384 {
			return errKeyBroken
		}
	}
	signer, err := ssh.NewSignerFromKey(key)
	switch {
	case err != nil:
		return errKeyBroken
	case signer.PublicKey().Type() == "ssh-dss":
		return errKeyWeak
	}
	return nil
}

// checkRounds reads the rounds of an encrypted OpenSSH key before anybody tries its passphrase: a file may ask for four billion.
func checkRounds(b *pem.Block) error {
	if b.Type != "OPENSSH PRIVATE KEY" {
		return nil
	}
	rest, ok := bytes.CutPrefix(b.Bytes, []byte("openssh-key-v1\x00"))
	var cipher, kdf, options []byte
	for _, part := range []*[]byte{&cipher, &kdf, &options} {
		if ok {
			*part, rest, ok = sshString(rest)
		}
	}
	if !ok {
		return errKeyBroken
	}
	if string(kdf) == "none" {
		return nil
	}
	_, tail, ok := sshString(options)
	if !ok || len(tail) != 4 || string(kdf) != "bcrypt" {
		return errKeyBroken
	}
	if binary.BigEndian.Uint32(tail) > maxRounds {
		return errKeyRounds
	}
	return nil
}

// sshString reads a length-prefixed string.
func sshString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

// HostKeyFingerprints gives "TYPE SHA256:…" for each line of a host_key attribute, as ssh-keygen -l prints them.
func HostKeyFingerprints(lines string) []string {
	var out []string
	for line := range strings.Lines(lines) {
		if k, err := parseHostKey(strings.TrimSpace(line)); err == nil && k != nil {
			out = append(out, k.Type()+" "+ssh.FingerprintSHA256(k))
		}
	}
	return out
}

var errHostKey = errors.New("a host key is a line such as `ssh-ed25519 AAAA…` (as `ssh-keyscan` prints it, without the host), one or more")

// parseHostKey reads "TYPE BASE64 [comment]"; nil for an empty line. The type must be that of the key itself.
func parseHostKey(line string) (ssh.PublicKey, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, nil
	}
	if len(words) < 2 || len(words) > 4 {
		return nil, errHostKey
	}
	raw, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return nil, errHostKey
	}
	k, err := ssh.ParsePublicKey(raw)
	if err != nil || k.Type() != words[0] {
		return nil, errHostKey
	}
	if _, isCert := k.(*ssh.Certificate); isCert || strings.HasPrefix(k.Type(), "ssh-dss") {
		return nil, errHostKey
	}
	return k, nil
}

// cleanHostKeys drops comments and empty lines; what is no key stays for the check.
func cleanHostKeys(v []byte) []byte {
	var lines []string
	for line := range strings.Lines(string(v)) {
		k, err := parseHostKey(line)
		switch {
		case err != nil:
			return v
		case k != nil:
			lines = append(lines, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))))
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

func checkHostKeys(v []byte) error {
	n := 0
	for line := range strings.Lines(string(v)) {
		k, err := parseHostKey(line)
		if err != nil {
			return err
		}
		if k != nil {
			n++
		}
	}
	if n == 0 || n > 16 {
		return errHostKey
	}
	return nil
}
