package main

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getsops/sops/v3"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// session is the file that the last OpInspect loaded, and its key once it is open.
type session struct {
	format string
	indent int
	tree   *sops.Tree // nil where nothing is loaded
	cipher *cipher    // nil while it is sealed

	stored   stored   // how the values of the open tree stood in the file
	required stored   // what has to be encrypted in the one that is written
	empty    stored   // what was changed to an empty text
	touched  []string // places that were changed
}

// answer does what a frame asks. A panic of a library is a refusal like any other: its text may hold anything.
func (s *session) answer(f wire.Frame) (reply wire.Frame) {
	defer func() {
		if recover() != nil {
			s.forget()
			reply = failed(f, wire.Fail{Code: wire.FailInternal})
		}
	}()
	body, err := s.do(f)
	if err != nil {
		return failed(f, err)
	}
	return wire.Frame{Op: f.Op, Number: f.Number, Body: body}
}

func failed(f wire.Frame, err error) wire.Frame {
	var why wire.Fail
	if !errors.As(err, &why) {
		why.Code = wire.FailInternal
		if errors.Is(err, wire.ErrBody) {
			why.Code = wire.FailProtocol
		}
	}
	return wire.Frame{Op: wire.OpFail, Number: f.Number, Body: why.Encode()}
}

func (s *session) do(f wire.Frame) ([]byte, error) {
	switch f.Op {
	case wire.OpInspect:
		return s.inspect(f.Body)
	case wire.OpOpen:
		return s.opened(f.Body)
	case wire.OpEdit:
		return s.edit(f.Body)
	case wire.OpRewrap:
		return s.rewrap(f.Body)
	case wire.OpRotate:
		return s.rotate(f.Body)
	case wire.OpCreate:
		return s.create(f.Body)
	case wire.OpRules:
		q, err := wire.DecodeRules(f.Body)
		if err != nil {
			return nil, err
		}
		c, err := creation(q)
		return c.Encode(), err
	case wire.OpSplit:
		q, err := wire.DecodeSplit(f.Body)
		if err != nil {
			return nil, err
		}
		defer q.Key.Wipe()
		parts, err := split(q)
		defer parts.Wipe()
		return parts.Encode(), err
	case wire.OpCombine:
		parts, err := wire.DecodeShares(f.Body)
		defer parts.Wipe()
		if err != nil {
			return nil, err
		}
		key, err := combine(parts)
		defer key.Wipe()
		return wire.EncodeKey(key), err
	}
	return nil, wire.Fail{Code: wire.FailProtocol}
}

// formatByName knows the formats by the endings that SOPS knows; "" is any other.
func formatByName(name string) string {
	for _, f := range [][2]string{{".yaml", "yaml"}, {".yml", "yaml"}, {".json", "json"}, {".env", "dotenv"}, {".ini", "ini"}} {
		if strings.HasSuffix(name, f[0]) {
			return f[1]
		}
	}
	return ""
}

// formatByContent looks at how the metadata stand in the file.
func formatByContent(file []byte) string {
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte("{")):
		return "json"
	case bytes.HasPrefix(file, []byte("sops_")) || bytes.Contains(file, []byte("\nsops_mac=")):
		return "dotenv"
	case bytes.HasPrefix(file, []byte("[sops]")) || bytes.Contains(file, []byte("\n[sops]")):
		return "ini"
	}
	return "yaml"
}

func (s *session) inspect(body []byte) ([]byte, error) {
	s.forget()
	q, err := wire.DecodeInspect(body)
	if err != nil {
		return nil, err
	}
	if len(q.File) > wire.MaxFile {
		return nil, wire.Fail{Code: wire.FailTooLarge}
	}
	debug.SetGCPercent(400) // short-lived: most of what is read here lives to the end
	named := q.Format
	if named == "" {
		named = formatByName(q.Name)
	}
	if s.format = named; named == "" {
		s.format = formatByContent(q.File)
	}
	b, err := s.load(q.File)
	if err != nil {
		return nil, err
	}
	b, m, err := metadata(s.format, b)
	if err != nil {
		return nil, wire.Fail{Code: wire.FailNotSOPS}
	}
	if err := checkRules(rulesOf(m)); err != nil || len(m.KeyGroups) == 0 || m.ShamirThreshold < 0 || m.ShamirThreshold > 255 || len(m.KeyGroups) > 255 {
		return nil, wire.Fail{Code: wire.FailNotSOPS}
	}
	if named == "" && s.format == "json" && len(b[0]) == 1 && b[0][0].Key == "data" {
		return nil, wire.Fail{Code: wire.FailBinary}
	}
	s.tree = &sops.Tree{Branches: b, Metadata: m}
	rules := rulesOf(m)
	rules.Indent = s.indent
	return wire.Info{Format: s.format, Documents: len(b), Version: m.Version, LastModified: m.LastModified.Format(time.RFC3339), HasMAC: m.MessageAuthenticationCode != "",
		Threshold: m.ShamirThreshold, Groups: groupsOf(m), Rules: rules}.Encode(), nil
}

func (s *session) load(file []byte) (b sops.TreeBranches, err error) {
	if !utf8.Valid(file) || bytes.IndexByte(file, 0) >= 0 {
		return nil, wire.Fail{Code: wire.FailSyntax}
	}
	switch s.format {
	case "yaml":
		b, s.indent, err = loadYAML(file)
	case "json":
		b, s.indent, err = loadJSON(file)
	case "dotenv":
		b, err = loadDotenv(file)
	case "ini":
		b, err = loadINI(file)
	case "binary":
		return nil, wire.Fail{Code: wire.FailBinary}
	default:
		return nil, wire.Fail{Code: wire.FailProtocol}
	}
	return b, err
}

func rulesOf(m sops.Metadata) wire.Rules {
	return wire.Rules{UnencryptedSuffix: m.UnencryptedSuffix, EncryptedSuffix: m.EncryptedSuffix, UnencryptedRegex: m.UnencryptedRegex, EncryptedRegex: m.EncryptedRegex,
		UnencryptedComment: m.UnencryptedCommentRegex, EncryptedComment: m.EncryptedCommentRegex, MACOnly: m.MACOnlyEncrypted}
}

// unseal opens the loaded file's values and compares its MAC. It may be asked twice.
func (s *session) unseal(key secret.Secret) error {
	if s.tree == nil {
		return wire.Fail{Code: wire.FailProtocol}
	}
	if s.cipher != nil {
		return nil
	}
	m := s.tree.Metadata
	if m.MessageAuthenticationCode == "" {
		return wire.Fail{Code: wire.FailMAC}
	}
	c, err := newCipher(key.Reveal())
	if err != nil {
		return wire.Fail{Code: wire.FailValue}
	}
	var behind []bool
	eachComment(s.tree.Branches, func(c sops.Comment) sops.Comment {
		behind = append(behind, c.Inline)
		return c
	})
	s.stored = storedIn(s.tree.Branches)
	computed, err := s.tree.Decrypt(key.Reveal(), c)
	if err != nil {
		s.tree = nil
		return wire.Fail{Code: wire.FailValue}
	}
	written, err := c.Decrypt(m.MessageAuthenticationCode, nil, m.LastModified.Format(time.RFC3339))
	text, ok := written.(string)
	if err != nil || !ok || subtle.ConstantTimeCompare([]byte(text), []byte(computed)) != 1 {
		s.tree = nil
		return wire.Fail{Code: wire.FailMAC}
	}
	eachComment(s.tree.Branches, func(c sops.Comment) sops.Comment {
		c.Inline, behind = behind[0], behind[1:]
		return c
	})
	for at, like := range storedIn(s.tree.Branches) {
		if like { // what was opened does not look like this: it stands in clear, and feigns
			s.stored[at] = false
		}
	}
	s.cipher = c
	return nil
}

// eachComment visits the comments of maps in order: SOPS forgets where it opens one that it stood behind a value.
func eachComment(v any, fn func(sops.Comment) sops.Comment) {
	switch v := v.(type) {
	case sops.TreeBranches:
		for _, b := range v {
			eachComment(b, fn)
		}
	case sops.TreeBranch:
		for i := range v {
			if c, ok := v[i].Key.(sops.Comment); ok {
				v[i].Key = fn(c)
			}
			eachComment(v[i].Value, fn)
		}
	case []any:
		for _, i := range v {
			eachComment(i, fn)
		}
	}
}

func (s *session) opened(body []byte) ([]byte, error) {
	key, err := wire.DecodeKey(body)
	defer key.Wipe()
	if err != nil {
		return nil, err
	}
	if err := s.unseal(key); err != nil {
		return nil, err
	}
	t, err := toWire(s.tree.Branches)
	defer t.Wipe()
	if err != nil {
		return nil, err
	}
	for i := range t.Documents {
		s.stored.mark(documentPlace(i), &t.Documents[i])
	}
	return wire.EncodeTree(t), nil
}
