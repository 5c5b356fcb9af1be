package importer

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// ReadFernet reads an export of the earlier system: one token around a whole file; NAME=TOKEN lines; or JSON with tokens in it, in the earlier system's own rows
// (projects with config.secrets, servers with ssh_key_enc, api_keys with key_enc) or by name. What is no token is no secret there, and left alone.
// Errors: as FernetKeys.Open and the readers.
func ReadFernet(b []byte, keys FernetKeys) ([]Item, error) {
	if whole := bytes.TrimSpace(b); IsFernet(whole) && bytes.IndexByte(whole, '\n') < 0 {
		s, err := keys.Open(whole)
		if err != nil {
			return nil, err
		}
		defer s.Wipe()
		text, err := Text(s.Reveal())
		if err != nil {
			return nil, err
		}
		return Read(text, Options{Format: Detect(text)})
	}
	e := earlier{keys: keys}
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		n, err := ParseJSON(b)
		if err != nil {
			return nil, err
		}
		defer n.Wipe()
		err = e.any(n, nil)
		return e.done(err)
	}
	items, err := ReadDotenv(b)
	if err != nil {
		return nil, err
	}
	defer Wipe(items)
	for _, i := range items {
		if token := i.Secrets["value"]; IsFernet(token.Reveal()) && err == nil {
			err = e.secret("", i.Name, i.Where, "", token)
		}
	}
	return e.done(err)
}

// earlier reads the earlier system's rows.
type earlier struct {
	keys  FernetKeys
	items []Item
}

func (e *earlier) done(err error) ([]Item, error) {
	if err == nil && len(e.items) == 0 {
		err = broken("the file has no Fernet tokens", "--format says what it is, where it is something else")
	}
	if err != nil {
		Wipe(e.items)
		return nil, err
	}
	return e.items, nil
}

func (e *earlier) secret(project, name, where, hint string, token secret.Secret) error {
	s, err := e.keys.Open(bytes.TrimSpace(token.Reveal()))
	if err != nil {
		return err
	}
	i := Item{Name: name, Project: project, Secrets: map[string]secret.Secret{"value": s}, Where: where}
	if label(hint) {
		i.Labels = map[string]string{"hint": hint}
	}
	e.items = append(e.items, i)
	return nil
}

// text gives a public text of a row.
func text(n wire.Node, keys ...string) string {
	for _, key := range keys {
		if v, ok := n.Get(key); ok && v.Kind.Scalar() && !v.Text.IsZero() && !IsFernet(v.Text.Reveal()) {
			return string(v.Text.Reveal())
		}
	}
	return ""
}

// token gives a row's ciphertext.
func token(n wire.Node, keys ...string) (secret.Secret, bool) {
	for _, key := range keys {
		if v, ok := n.Get(key); ok && v.Kind == wire.String && IsFernet(bytes.TrimSpace(v.Text.Reveal())) {
			return v.Text, true
		}
	}
	return secret.Secret{}, false
}

// any tells by its keys what a row is.
func (e *earlier) any(n wire.Node, path []string) error {
	where := strings.Join(path, ".")
	if config, ok := n.Get("config"); ok {
		if secrets, ok := config.Get("secrets"); ok && secrets.Kind == wire.Map {
			return e.project(n, config, secrets, path)
		}
	}
	if key, ok := token(n, "ssh_key_enc"); ok && text(n, "public_ip", "host") != "" {
		return e.server(n, key, where)
	}
	if key, ok := token(n, "key_enc", "value"); ok && text(n, "service") != "" {
		return e.apiKey(n, key, where)
	}
	for i, item := range n.Items {
		name := item.Key
		if n.Kind == wire.List {
			name = fmt.Sprint(i)
		}
		at := append(path[:len(path):len(path)], name)
		var err error
		if item.Value.Kind == wire.String && IsFernet(bytes.TrimSpace(item.Value.Text.Reveal())) {
			err = e.secret("", name, strings.Join(at, "."), "", item.Value.Text)
		} else if !item.Value.Kind.Scalar() {
			err = e.any(item.Value, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *earlier) project(n, config, secrets wire.Node, path []string) error {
	project := slug(text(n, "slug", "name", "title"))
	hints, _ := config.Get("env_hints")
	for _, s := range secrets.Items {
		if s.Value.Kind != wire.String || !IsFernet(bytes.TrimSpace(s.Value.Text.Reveal())) {
			continue
		}
		where := strings.Join(append(path[:len(path):len(path)], "config", "secrets", s.Key), ".")
		if err := e.secret(project, s.Key, where, text(hints, s.Key), s.Value.Text); err != nil {
			return err
		}
	}
	return nil
}

func (e *earlier) server(n wire.Node, key secret.Secret, where string) error {
	s, err := e.keys.Open(bytes.TrimSpace(key.Reveal()))
	if err != nil {
		return err
	}
	i := Item{Kind: "server", Handle: handleOf(text(n, "handle")), Where: where, Attrs: map[string]string{},
		Secrets: map[string]secret.Secret{"ssh_key": s, "host": secret.FromString(text(n, "public_ip", "host"))}}
	if user := text(n, "ssh_user"); user != "" {
		i.Attrs["user"] = user
	}
	e.items = append(e.items, i)
	return nil
}

func (e *earlier) apiKey(n wire.Node, key secret.Secret, where string) error {
	s, err := e.keys.Open(bytes.TrimSpace(key.Reveal()))
	if err != nil {
		return err
	}
	service := strings.ToLower(text(n, "service"))
	i := Item{Name: service, Secrets: map[string]secret.Secret{"value": s}, Where: where}
	if known, err := kind.LookupService(strings.ReplaceAll(service, "-", "_")); err == nil && len(known.Env) > 0 {
		i.Name = known.Env[0]
	} else {
		i.Name = strings.ToUpper(notInNames.ReplaceAllString(service, "_")) + "_KEY"
	}
	e.items = append(e.items, i)
	return nil
}
