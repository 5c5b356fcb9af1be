package main

import (
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getsops/sops/v3"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// fallbackVersion is written into new files where the build does not know which sops it holds.
const fallbackVersion = "3.13.3"

func sopsVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, m := range b.Deps {
			if m.Path == "github.com/getsops/sops/v3" {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return fallbackVersion
}

func (s *session) edit(body []byte) ([]byte, error) {
	q, err := wire.DecodeEdit(body)
	defer q.Wipe()
	if err != nil {
		return nil, err
	}
	if err := s.unseal(q.Key); err != nil {
		return nil, err
	}
	for _, c := range q.Changes {
		doc, err := change(s.tree.Branches[0], c)
		if err != nil {
			s.forget()
			return nil, err
		}
		s.tree.Branches[0] = doc
		s.note(c)
	}
	return s.seal(q.Key)
}

func (s *session) rotate(body []byte) ([]byte, error) {
	q, err := wire.DecodeRotate(body)
	defer q.Key.Wipe()
	defer q.New.Wipe()
	if err != nil {
		return nil, err
	}
	if err := s.unseal(q.Key); err != nil {
		return nil, err
	}
	for _, group := range q.Groups {
		for _, k := range group {
			if k.Type != "age" || k.Enc == "" {
				return nil, wire.Fail{Code: wire.FailForeign}
			}
		}
	}
	if s.tree.Metadata, err = regroup(s.tree.Metadata, q.Groups, q.Threshold); err != nil {
		return nil, err
	}
	if s.cipher, err = newCipher(q.New.Reveal()); err != nil {
		return nil, wire.Fail{Code: wire.FailProtocol}
	}
	return s.seal(q.New)
}

// rewrap changes keys alone; values and MAC stay as they are, as with `sops updatekeys`.
func (s *session) rewrap(body []byte) ([]byte, error) {
	q, err := wire.DecodeRewrap(body)
	if err != nil {
		return nil, err
	}
	if s.tree == nil || s.cipher != nil {
		return nil, wire.Fail{Code: wire.FailProtocol}
	}
	if s.tree.Metadata, err = regroup(s.tree.Metadata, q.Groups, q.Threshold); err != nil {
		return nil, err
	}
	return s.emit()
}

func (s *session) create(body []byte) ([]byte, error) {
	q, err := wire.DecodeCreate(body)
	defer q.Key.Wipe()
	defer q.Tree.Wipe()
	if err != nil {
		return nil, err
	}
	if err := checkRules(q.Rules); err != nil {
		return nil, err
	}
	s.forget()
	var b sops.TreeBranches
	for i, d := range q.Tree.Documents {
		s.required.require(documentPlace(i), d)
		v, err := fromNode(d)
		if err != nil {
			return nil, err
		}
		doc, ok := v.(sops.TreeBranch)
		if !ok {
			return nil, wire.Fail{Code: wire.FailValueType}
		}
		b = append(b, doc)
	}
	m := sops.Metadata{Version: sopsVersion(), UnencryptedSuffix: q.Rules.UnencryptedSuffix, EncryptedSuffix: q.Rules.EncryptedSuffix, UnencryptedRegex: q.Rules.UnencryptedRegex,
		EncryptedRegex: q.Rules.EncryptedRegex, UnencryptedCommentRegex: q.Rules.UnencryptedComment, EncryptedCommentRegex: q.Rules.EncryptedComment, MACOnlyEncrypted: q.Rules.MACOnly}
	if rules := rulesOf(m); rules == (wire.Rules{MACOnly: m.MACOnlyEncrypted}) {
		m.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	if m, err = regroup(m, q.Groups, q.Threshold); err != nil {
		return nil, err
	}
	s.format, s.indent, s.tree = q.Format, q.Rules.Indent, &sops.Tree{Branches: b, Metadata: m}
	if s.cipher, err = newCipher(q.Key.Reveal()); err != nil {
		return nil, wire.Fail{Code: wire.FailProtocol}
	}
	return s.seal(q.Key)
}

// seal encrypts the open tree and writes it out; the session is empty afterwards.
func (s *session) seal(key secret.Secret) ([]byte, error) {
	defer s.forget()
	check := checker{format: s.format}
	if err := check.tree(s.tree.Branches); err != nil {
		return nil, err
	}
	t := s.tree
	for at, like := range storedIn(t.Branches) {
		if like && s.required[at] { // in clear it would look as if it were encrypted
			return nil, wire.Fail{Code: wire.FailClear}
		}
	}
	mac, err := t.Encrypt(key.Reveal(), s.cipher)
	if err != nil {
		return nil, wire.Fail{Code: wire.FailValueType}
	}
	if !writable(t.Branches) {
		return nil, wire.Fail{Code: wire.FailValueType}
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	t.Metadata.LastModified = time.Now().UTC()
	t.Metadata.MessageAuthenticationCode, err = s.cipher.Encrypt(mac, nil, t.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, wire.Fail{Code: wire.FailInternal}
	}
	out, err := s.emit()
	if err != nil || s.format == "yaml" || s.format == "json" {
		return out, err
	}
	return out, proven(s.format, out, key)
}

// writable refuses text that stays in clear and is no text: formats differ in what they make of it.
func writable(v any) bool {
	switch v := v.(type) {
	case sops.TreeBranches:
		for _, b := range v {
			if !writable(b) {
				return false
			}
		}
	case sops.TreeBranch:
		for _, i := range v {
			if !writable(i.Value) {
				return false
			}
		}
	case []any:
		for _, i := range v {
			if !writable(i) {
				return false
			}
		}
	case string:
		return utf8.ValidString(v)
	}
	return true
}

func (s *session) emit() (out []byte, err error) {
	switch s.format {
	case "yaml":
		out, err = emitYAML(*s.tree, s.indent)
	case "json":
		out, err = emitJSON(*s.tree, s.indent)
	case "dotenv":
		out, err = emitDotenv(*s.tree)
	case "ini":
		out, err = emitINI(*s.tree)
	default:
		return nil, wire.Fail{Code: wire.FailProtocol}
	}
	if err != nil {
		return nil, wire.Fail{Code: wire.FailValueType}
	}
	if len(out) > wire.MaxFile {
		return nil, wire.Fail{Code: wire.FailTooLarge}
	}
	return wire.EncodeFile(out), nil
}

// proven reads a flat file back before it is given away: values in clear that begin with a quote, or hold "\n", come back as something else.
func proven(format string, body []byte, key secret.Secret) error {
	file, err := wire.DecodeFile(body)
	if err != nil {
		return err
	}
	again := session{}
	if _, err := again.inspect(wire.InspectRequest{Format: format, File: file}.Encode()); err != nil {
		return wire.Fail{Code: wire.FailValueType}
	}
	if again.unseal(key) != nil {
		return wire.Fail{Code: wire.FailValueType}
	}
	return nil
}
