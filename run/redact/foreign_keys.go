package redact

import "bytes"

// privateKeys are keys that stand in blocks of lines, and their first bytes in base64.
//
// Shapes: RFC 7468 (PEM), RFC 9580 §6.2 (OpenPGP), openssh's PROTOCOL.key (magic "openssh-key-v1"), PuTTY's appendix "PPK file format", age's
// c2sp.org/age (Bech32, upper case), wg(8).
func privateKeys() []foreignRule {
	return []foreignRule{
		block("a-private-key", "-----BEGIN ", "-----END ", pemBegins),
		block("a-private-key", "PuTTY-User-Key-File-", "Private-MAC: ", func(line []byte, _ bool) (int, verdict) { return len("PuTTY-User-Key-File-"), yes }),
		token("a-private-key", "b3BlbnNzaC1rZXktdjE", classOf("A-Za-z0-9+/=\r\n"), 40), // the body of an OpenSSH key, without its first line
		token("a-private-key", "AGE-SECRET-KEY-", classOf("A-Z0-9-"), 50),
		behind("a-private-key", "PrivateKey = ", base64ed, 43), // WireGuard
		behind("a-private-key", "PresharedKey = ", base64ed, 43),
		// "-----BEGIN … PRIVATE" in base64, as kubeconfig files and secrets of Kubernetes have it
		token("a-private-key", "LS0tLS1CRUdJTiBQUklWQVRF", base64ed, 40),
		token("a-private-key", "LS0tLS1CRUdJTiBSU0EgUFJJ", base64ed, 40),
		token("a-private-key", "LS0tLS1CRUdJTiBFQyBQUklW", base64ed, 40),
		token("a-private-key", "LS0tLS1CRUdJTiBPUEVOU1NI", base64ed, 40),
		token("a-private-key", "LS0tLS1CRUdJTiBFTkNSWVBU", base64ed, 40),
	}
}

// pemBegins reads "-----BEGIN RSA PRIVATE KEY-----" and its like.
func pemBegins(line []byte, final bool) (int, verdict) {
	const head = len("-----BEGIN ")
	label := line[head:]
	n := bytes.IndexByte(label, '-')
	if n < 0 {
		if pemLabel.run(label, 0) < len(label) || len(line) >= maxLabel || final {
			return 0, no
		}
		return 0, unsure
	}
	label = label[:n]
	if !pemLabel.all(label) || !bytes.HasSuffix(label, []byte("PRIVATE KEY")) && !bytes.HasSuffix(label, []byte("PRIVATE KEY BLOCK")) {
		return 0, no
	}
	return head + n, yes
}

var pemLabel = classOf("A-Z0-9 ")
