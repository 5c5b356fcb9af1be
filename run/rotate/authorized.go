package rotate

import (
	"bytes"
	"encoding/base64"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// keyLine is where the key stands in a line of authorized_keys.
type keyLine struct {
	start, end int    // of "TYPE BASE64" within the line
	blob       []byte // the key
	authority  bool   // the line lets in what the key has signed, not the key
}

// parseKeyLine reads a line as sshd does: options, the kind of key, the key, a comment. ok is false for a comment, an empty line and what is none.
func parseKeyLine(line []byte) (k keyLine, ok bool) {
	i := skipBlanks(line, 0)
	if i == len(line) || line[i] == '#' {
		return k, false
	}
	if k, ok = keyAt(line, i); ok {
		return k, true
	}
	end := optionsEnd(line, i)
	if end < 0 {
		return k, false
	}
	k, ok = keyAt(line, skipBlanks(line, end))
	k.authority = hasAuthority(string(line[i:end]))
	return k, ok
}

// keyAt reads "TYPE BASE64" at i.
func keyAt(line []byte, i int) (keyLine, bool) {
	kindEnd := wordEnd(line, i)
	from := skipBlanks(line, kindEnd)
	end := wordEnd(line, from)
	blob, err := base64.StdEncoding.DecodeString(string(line[from:end]))
	if err != nil || len(blob) == 0 {
		return keyLine{}, false
	}
	key, err := xssh.ParsePublicKey(blob)
	if err != nil || key.Type() != string(line[i:kindEnd]) {
		return keyLine{}, false
	}
	return keyLine{start: i, end: end, blob: blob}, true
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

func skipBlanks(line []byte, i int) int {
	for i < len(line) && blank(line[i]) {
		i++
	}
	return i
}

func wordEnd(line []byte, i int) int {
	for i < len(line) && !blank(line[i]) && line[i] != '\r' {
		i++
	}
	return i
}

// optionsEnd finds the first blank outside of quotes; -1 where a quote does not end.
func optionsEnd(line []byte, i int) int {
	quoted := false
	for ; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case blank(c) && !quoted:
			return i
		}
	}
	return -1
}

// hasAuthority tells whether the option cert-authority is among them; within quotes the word means nothing.
func hasAuthority(options string) bool {
	var bare strings.Builder
	quoted := false
	for i := 0; i < len(options); i++ {
		switch c := options[i]; {
		case c == '\\' && i+1 < len(options) && options[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted:
			bare.WriteByte(c)
		}
	}
	for o := range strings.SplitSeq(strings.ToLower(bare.String()), ",") {
		if o == "cert-authority" {
			return true
		}
	}
	return false
}

// addKey puts a line with the fresh key after each line of the old one, with the same options and comment; lines that are there stay byte for byte. n is how many
// lines the old key has; 0 where it is not in the file. What has the fresh key already gets no second one.
func addKey(file []byte, old, fresh xssh.PublicKey) (out []byte, n int) {
	file, _ = removeKey(file, fresh) // of a try before
	lines := bytes.Split(file, []byte("\n"))
	var all [][]byte
	for _, line := range lines {
		all = append(all, line)
		k, ok := parseKeyLine(line)
		if !ok || k.authority || !bytes.Equal(k.blob, old.Marshal()) {
			continue
		}
		n++
		text := fresh.Type() + " " + base64.StdEncoding.EncodeToString(fresh.Marshal())
		all = append(all, append(append(bytes.Clone(line[:k.start]), text...), line[k.end:]...))
	}
	return bytes.Join(all, []byte("\n")), n
}

// removeKey takes every line of the key away, and nothing else.
func removeKey(file []byte, key xssh.PublicKey) (out []byte, n int) {
	var all [][]byte
	for _, line := range bytes.Split(file, []byte("\n")) {
		if k, ok := parseKeyLine(line); ok && !k.authority && bytes.Equal(k.blob, key.Marshal()) {
			n++
			continue
		}
		all = append(all, line)
	}
	return bytes.Join(all, []byte("\n")), n
}

// checksum is the POSIX cksum: what every server's shell can say of a file.
func checksum(b []byte) uint32 {
	var crc uint32
	step := func(c byte) {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	for _, c := range b {
		step(c)
	}
	for n := len(b); n > 0; n >>= 8 {
		step(byte(n))
	}
	return ^crc
}
