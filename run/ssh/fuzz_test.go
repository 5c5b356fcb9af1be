package ssh

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
)

// proof makes a binding that is true.
func proof(tb testing.TB, forwarded bool) (contents []byte, host xssh.PublicKey) {
	signer, err := xssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		tb.Fatal(err)
	}
	session := bytes.Repeat([]byte{9}, 32)
	sig, err := signer.Sign(nil, session)
	if err != nil {
		tb.Fatal(err)
	}
	return xssh.Marshal(struct {
		Host, Session, Sig []byte
		Forwarded          bool
	}{signer.PublicKey().Marshal(), session, xssh.Marshal(sig), forwarded}), signer.PublicKey()
}

func TestBindings(t *testing.T) {
	contents, host := proof(t, false)
	b, err := parseBinding(contents)
	if err != nil || !bytes.Equal(b.host.Marshal(), host.Marshal()) || b.forwarded || len(b.session) != 32 {
		t.Fatalf("%+v %v", b, err)
	}
	for i := range contents {
		broken := bytes.Clone(contents)
		broken[i] ^= 0x55
		if b, err := parseBinding(broken); err == nil && !b.forwarded {
			t.Errorf("byte %d can be changed", i)
		}
		if _, err := parseBinding(contents[:i]); err == nil {
			t.Errorf("it can be cut at %d", i)
		}
	}
	if _, err := parseBinding(append(contents, 0)); err == nil {
		t.Error("it can be longer")
	}
}

// FuzzAttack48_Binding: what is taken was signed by the host key that it names.
func FuzzAttack48_Binding(f *testing.F) {
	for _, forwarded := range []bool{false, true} {
		contents, _ := proof(f, forwarded)
		f.Add(contents)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, contents []byte) {
		b, err := parseBinding(contents)
		if err != nil {
			return
		}
		var m struct {
			Host, Session, Sig []byte
			Forwarded          bool
		}
		var sig xssh.Signature
		if xssh.Unmarshal(contents, &m) != nil || xssh.Unmarshal(m.Sig, &sig) != nil || b.host.Verify(b.session, &sig) != nil || b.forwarded != m.Forwarded {
			t.Fatalf("%x is taken", contents)
		}
	})
}

// FuzzAttack48_Login: what is taken for a login is one, whole, and nothing else.
func FuzzAttack48_Login(f *testing.F) {
	type request struct {
		Session               []byte
		Type                  byte
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}
	good := request{bytes.Repeat([]byte{1}, 32), 50, "root", "ssh-connection", "publickey", true, "ssh-ed25519", []byte("key")}
	bound := good
	bound.Method = methodHostBound
	f.Add(xssh.Marshal(good))
	f.Add(append(xssh.Marshal(bound), xssh.Marshal(struct{ Key []byte }{[]byte("host")})...))
	f.Add(append([]byte("SSHSIG"), make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseLogin(data)
		if err != nil {
			return
		}
		again := request{l.session, 50, l.user, "ssh-connection", "publickey", true, "", l.key}
		var rest []byte
		if l.host != nil {
			again.Method, rest = methodHostBound, xssh.Marshal(struct{ Key []byte }{l.host})
		}
		var m request
		_ = xssh.Unmarshal(data[:len(data)-len(rest)], &m)
		again.Algorithm = m.Algorithm
		whole := append(xssh.Marshal(again), rest...)
		// Any byte but 0 is true.
		if at := bytes.Index(whole, []byte(again.Method)) + len(again.Method); len(whole) == len(data) && at < len(data) && data[at] != 0 {
			whole[at] = data[at]
		}
		if !bytes.Equal(whole, data) {
			t.Fatalf("%x is taken for %x", data, whole)
		}
	})
}

// FuzzAttack49_Shown: the same length, the same result however the text is cut, and no digit behind a name.
func FuzzAttack49_Shown(f *testing.F) {
	f.Add([]byte("A=1\nSSH_CONNECTION=203.0.113.5 5555 10.1.2.3 22\nSSH_CLIENT='2001:db8::9 1 22'"), 3)
	f.Add([]byte("SSH_SSH_CLIENT=1SSH_CLIENT=SSH_CLIENT=7"), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		var whole, pieces bytes.Buffer
		_, _ = (&shown{dst: &whole}).Write(text)
		s := &shown{dst: &pieces}
		for p := range chunks(text, piece) {
			given := bytes.Clone(p)
			if _, err := s.Write(p); err != nil || !bytes.Equal(given, p) {
				t.Fatal("what it was given is changed")
			}
		}
		if !bytes.Equal(whole.Bytes(), pieces.Bytes()) || whole.Len() != len(text) {
			t.Fatalf("%q\n%q\n%q", text, whole.Bytes(), pieces.Bytes())
		}
		for _, name := range []string{"SSH_CONNECTION=", "SSH_CLIENT="} {
			for rest := whole.String(); ; {
				_, after, found := strings.Cut(rest, name)
				if !found {
					break
				}
				if after != "" && strings.ContainsAny(after[:1], "0123456789") {
					t.Fatalf("%q shows %q", text, after)
				}
				rest = after
			}
		}
	})
}

func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for n := max(1, n%97); len(b) > 0; {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

// holder is a mask that holds everything back until its end.
type holder struct {
	dst io.Writer
	buf bytes.Buffer
}

func (h *holder) Write(p []byte) (int, error) { return h.buf.Write(p) }
func (h *holder) Close() error {
	_, err := h.buf.WriteTo(h.dst)
	return err
}

// FuzzFrames: the bytes stay, and where a packet of SFTP ends, nothing of it is held back.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05hello\x00\x00\x00\x01x\x00\x00"), 3)
	f.Add([]byte("Welcome to this server\r\n"), 5)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		var out bytes.Buffer
		m := newMessages(func(w io.Writer) io.WriteCloser { return &holder{dst: w} }, &out)
		fr := &frames{m: m}
		fed := 0
		for p := range chunks(data, piece) {
			if n, err := fr.Write(p); err != nil || n != len(p) {
				t.Fatal(n, err)
			}
			fed += len(p)
			if whole := wholeFrames(data[:fed]); out.Len() < whole {
				t.Fatalf("%d bytes of %d have gone", out.Len(), whole)
			}
		}
		if err := m.end(); err != nil || !bytes.Equal(out.Bytes(), data) || m.changed {
			t.Fatalf("%q became %q, %v", data, out.Bytes(), err)
		}
	})
}

func wholeFrames(b []byte) (n int) {
	for len(b)-n >= 4 {
		size := binary.BigEndian.Uint32(b[n:])
		if size == 0 || size > maxFrame {
			return len(b)
		}
		if int(size) > len(b)-n-4 {
			break
		}
		n += 4 + int(size)
	}
	return n
}

// FuzzAttack67_Meter: the packets counted do not depend on how they come.
func FuzzAttack67_Meter(f *testing.F) {
	f.Add([]byte("hi\r\nSSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14aaaaaaaaaa\x00\x00\x00\x0c\x0a\x15aaaaaaaaaa\x00\x00\x00\x10"+strings.Repeat("b", 32)+"\x00\x00"), 7)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		whole, cut := newMetered(nil, 1), newMetered(nil, 1)
		want, got := whole.count(data), 0
		for p := range chunks(data, piece) {
			got += cut.count(p)
		}
		if got != want || whole.left != cut.left || whole.sealed != cut.sealed || whole.begun != cut.begun {
			t.Fatalf("%d or %d", got, want)
		}
	})
}

func TestUnquote(t *testing.T) {
	for line, want := range map[string]string{
		"git-upload-pack '/srv/git/a.git'": "git-upload-pack /srv/git/a.git", "'a' 'b c'": "a 'b c'", "'a'b": "'a'b", "''": "''", "'": "'", "'$x'": "'$x'", "'-t'": "'-t'", "a'b'": "a'b'", "''' '": "''' '", "'~/x'": "'~/x'",
	} {
		if got := unquote(line); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestSpeaksBinary(t *testing.T) {
	for line, want := range map[string]bool{
		"rsync --server . x": true, "/usr/bin/rsync --server . x": true, "sudo rsync --server . x": true, "sh -c 'git-upload-pack x'": true, "docker system dial-stdio": true,
		"cat x": false, "echo scpx": false, "ls /srv/tar.d": false, "": false,
	} {
		if got := speaksBinary(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
