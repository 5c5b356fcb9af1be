package wire

import (
	"bytes"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Hello is the helper's first word.
type Hello struct{ Version int }

// Encode gives the body.
func (h Hello) Encode() []byte {
	w := writer{b: []byte(hello)}
	w.uint(h.Version)
	return w.b
}

// DecodeHello reads the body. What follows the version is left to versions to come.
func DecodeHello(b []byte) (h Hello, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(hello))
	if !ok {
		return h, ErrBody
	}
	r := reader{b: rest}
	h.Version = r.uint(1 << 20)
	return h, r.err
}

// Key is one key that holds the data key, or its group's share of it.
type Key struct {
	Type string // "age", "pgp", "kms", …
	Name string // public: an age recipient, a fingerprint, an ARN
	Enc  string // armored age file; "" of other types, which stay as they are in the file
}

// Rules say what of a file is encrypted. At most one of the texts is set; none means all but what ends with "_unencrypted".
type Rules struct {
	UnencryptedSuffix, EncryptedSuffix   string
	UnencryptedRegex, EncryptedRegex     string
	UnencryptedComment, EncryptedComment string
	MACOnly                              bool // the MAC covers encrypted values only
	Indent                               int  // of YAML and JSON; 0 for the format's own, -1 for tabs
}

// Info is what a file says of itself without a key.
type Info struct {
	Format       string // "yaml", "json", "dotenv", "ini"
	Documents    int
	Version      string // of the sops that wrote it
	LastModified string // RFC 3339
	HasMAC       bool
	Threshold    int // of key groups; 0 with one
	Groups       [][]Key
	Rules        Rules
}

func (w *writer) rules(v Rules) {
	for _, s := range []string{v.UnencryptedSuffix, v.EncryptedSuffix, v.UnencryptedRegex, v.EncryptedRegex, v.UnencryptedComment, v.EncryptedComment} {
		w.text(s)
	}
	w.bool(v.MACOnly)
	w.uint(v.Indent + 1)
}

func (r *reader) rules() (v Rules) {
	for _, s := range []*string{&v.UnencryptedSuffix, &v.EncryptedSuffix, &v.UnencryptedRegex, &v.EncryptedRegex, &v.UnencryptedComment, &v.EncryptedComment} {
		*s = r.text()
	}
	v.MACOnly = r.bool()
	v.Indent = r.uint(17) - 1
	return v
}

func (w *writer) groups(g [][]Key) {
	w.uint(len(g))
	for _, keys := range g {
		w.uint(len(keys))
		for _, k := range keys {
			w.text(k.Type)
			w.text(k.Name)
			w.text(k.Enc)
		}
	}
}

func (r *reader) groups() (g [][]Key) {
	total := 0
	for range r.count(255) {
		var keys []Key
		for range r.count(MaxKeys) {
			if total++; total > MaxKeys {
				r.fail()
			}
			keys = append(keys, Key{r.text(), r.text(), r.text()})
		}
		g = append(g, keys)
	}
	return g
}

// Encode gives the body.
func (i Info) Encode() []byte {
	return body(func(w *writer) {
		w.text(i.Format)
		w.uint(i.Documents)
		w.text(i.Version)
		w.text(i.LastModified)
		w.bool(i.HasMAC)
		w.uint(i.Threshold)
		w.groups(i.Groups)
		w.rules(i.Rules)
	})
}

// DecodeInfo reads the body.
func DecodeInfo(b []byte) (Info, error) {
	return whole(b, func(r *reader) Info {
		return Info{r.text(), r.uint(MaxNodes), r.text(), r.text(), r.bool(), r.uint(255), r.groups(), r.rules()}
	})
}

// InspectRequest loads a file. Format "" means: by name, else by content.
type InspectRequest struct {
	Format, Name string
	File         []byte
}

// Encode gives the body.
func (q InspectRequest) Encode() []byte {
	return body(func(w *writer) { w.text(q.Format); w.text(q.Name); w.bytes(q.File) })
}

// DecodeInspect reads the body; File is part of it.
func DecodeInspect(b []byte) (InspectRequest, error) {
	return whole(b, func(r *reader) InspectRequest { return InspectRequest{r.text(), r.text(), r.part()} })
}

// EncodeKey gives the body of OpOpen's request.
func EncodeKey(key secret.Secret) []byte { return body(func(w *writer) { w.secret(key) }) }

// DecodeKey reads it.
func DecodeKey(b []byte) (secret.Secret, error) { return whole(b, (*reader).secret) }

// EncodeFile gives the body of a reply that is a file.
func EncodeFile(file []byte) []byte { return body(func(w *writer) { w.bytes(file) }) }

// DecodeFile reads it.
func DecodeFile(b []byte) ([]byte, error) { return whole(b, (*reader).bytes) }

// EncodeTree gives the body of OpOpen's reply.
func EncodeTree(t Tree) []byte { return body(func(w *writer) { w.tree(t) }) }

// DecodeTree reads it.
func DecodeTree(b []byte) (Tree, error) {
	t, err := whole(b, (*reader).tree)
	if err != nil {
		t.Wipe()
		return Tree{}, err
	}
	return t, nil
}
