package exporter

import (
	"bytes"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// ageJSON writes a document as JSON into an armored age file.
func ageJSON(doc wire.Node, to []age.Recipient) ([]byte, error) {
	plain := make([]byte, 0, size(doc)+1) // never grown: no copy stays behind
	return sealed(append(appendJSON(plain, doc), '\n'), to)
}

// sealed encrypts a text, which it wipes.
func sealed(plain []byte, to []age.Recipient) ([]byte, error) {
	defer clear(plain[:cap(plain)])
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to...)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "the export cannot be encrypted to these recipients", "check each --to").Because(err)
	}
	return out.Bytes(), nil
}

// size bounds what a node takes as JSON: each byte six, if it is escaped.
func size(n wire.Node) int {
	total := 6*n.Text.Len() + 4
	for _, i := range n.Items {
		total += 6*len(i.Key) + 6 + size(i.Value)
	}
	return total
}

func appendJSON(b []byte, n wire.Node) []byte {
	if n.Kind.Scalar() {
		return appendQuoted(b, n.Text.Reveal())
	}
	b = append(b, '{')
	for at, i := range n.Items {
		if at > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, []byte(i.Key)), ':')
		b = appendJSON(b, i.Value)
	}
	return append(b, '}')
}

// appendQuoted writes a JSON string; what is no text cannot be sealed as a field.
func appendQuoted(b, text []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
