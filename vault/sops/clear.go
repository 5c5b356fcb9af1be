package sops

import (
	"bytes"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// leastShown is the length from which a run of a secret's characters is looked for.
const leastShown = 4

// formWords are what every SOPS file has in clear: a value that is a part of them would be found in each.
var formWords = []byte("sops kms gcp_kms azure_kv hc_vault hckms age recipient enc pgp lastmodified mac version shamir_threshold key_groups unencrypted_suffix encrypted_suffix " +
	"unencrypted_regex encrypted_regex mac_only_encrypted _unencrypted null true false ENC[AES256_GCM,data: -----BEGIN AGE ENCRYPTED FILE----- -----END AGE ENCRYPTED FILE-----")

// shows tells whether a Sealed value below n stands in clear in a file, more often than before and than names of its path do. The helper looked already,
// by where it put each value: this trusts neither it nor the rules.
func shows(after, before []byte, path []string, n wire.Node) bool {
	var look func(wire.Node) bool
	names := []byte{}
	var collect func(wire.Node)
	collect = func(n wire.Node) {
		for _, i := range n.Items {
			names = append(append(names, i.Key...), '\n')
			collect(i.Value)
		}
	}
	for _, p := range path {
		names = append(append(names, p...), '\n')
	}
	collect(n)
	now, was := outsideENC(after), outsideENC(before)
	look = func(n wire.Node) bool {
		if n.Sealed && n.Kind.Scalar() {
			run := longestRun(n.Text.Reveal())
			if len(run) >= leastShown && !bytes.Contains(formWords, run) && bytes.Count(now, run) > bytes.Count(was, run)+bytes.Count(names, run) {
				return true
			}
		}
		for _, i := range n.Items {
			if look(i.Value) {
				return true
			}
		}
		return false
	}
	return look(n)
}

// longestRun gives the longest part of a value that every format writes as it is.
func longestRun(v []byte) (best []byte) {
	from := 0
	for i := 0; i <= len(v); i++ {
		if i < len(v) && plainByte(v[i]) {
			continue
		}
		if i-from > len(best) {
			best = v[from:i]
		}
		from = i + 1
	}
	return best
}

func plainByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || bytes.IndexByte([]byte("+/=_-.:@"), b) >= 0
}

// outsideENC gives a file without its encrypted values: by chance their base64 holds every short text.
func outsideENC(file []byte) (out []byte) {
	for {
		head, rest, found := bytes.Cut(file, []byte("ENC[AES256_GCM,data:"))
		out = append(append(out, head...), '\n')
		if !found {
			return out
		}
		end := 0
		for end < len(rest) && (plainByte(rest[end]) || rest[end] == ',') {
			end++
		}
		file = rest[end:]
	}
}
