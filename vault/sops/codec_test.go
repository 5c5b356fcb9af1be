package sops_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

var plain = map[string]string{
	"secrets.yaml": `# the head of the file
telegram_bots:
    # a bot
    weather:
        name: '@weather_bot'
        token: 1234567890:AAabcdefghijklmnopqrstuvwxyz012345678 # behind the value
        port_unencrypted: 8443
list:
    - one
    # about two
    - two
flag: true
number: 42
ratio: 1.5
empty: ""
nothing: null
# the foot
`,
	"secrets.json": "{\n\t\"telegram_bots\": {\n\t\t\"weather\": {\n\t\t\t\"name\": \"@weather_bot\",\n\t\t\t\"token\": \"1234567890:AAabcdefghijklmnopqrstuvwxyz012345678\",\n\t\t\t\"port_unencrypted\": 8443\n\t\t}\n\t},\n\t\"list\": [\n\t\t\"one\",\n\t\t\"two\"\n\t],\n\t\"flag\": true,\n\t\"number\": 42,\n\t\"ratio\": 1.5,\n\t\"nothing\": null\n}\n",
	"secrets.env":  "# a comment\nOPENAI_API_KEY=sk-abcdefghijklmnop\nMULTI=one\\ntwo\nPUBLIC_unencrypted=yes\n",
	"secrets.ini":  "[DEFAULT]\nopenai = sk-abcdefghijklmnop\n\n; about it\n[db]\npassword = hunter2hunter2\nhost_unencrypted = db.example\n",
}

// leaf is a value of each plain file, its path, and the key of another.
var leaf = map[string][]string{
	"secrets.yaml": {"telegram_bots", "weather", "token"},
	"secrets.json": {"telegram_bots", "weather", "token"},
	"secrets.env":  {"OPENAI_API_KEY"},
	"secrets.ini":  {"db", "password"},
}

func extract(path []string) string { return `["` + strings.Join(path, `"]["`) + `"]` }

// What sops writes we read, edit and rotate, and sops reads that again, in every format: order, comments, clear keys and values are the same.
func TestSOPSFilesGoBothWays(t *testing.T) {
	for name, text := range plain {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, c, p := context.Background(), newCodec(t), sopstest.NewPerson(t)
			file := filepath.Join(p.Dir, name)
			write(t, file, []byte(text), 0o640)
			p.Sops(p.Dir, "encrypt", "--in-place", "--age", p.Recipient(), name)
			before, shown := read(t, file), p.Sops(p.Dir, "decrypt", name)

			info, tree, err := c.Open(ctx, name, before, ids(p))
			if err != nil {
				t.Fatal(err)
			}
			if info.Groups[0][0].Name != p.Recipient() || !info.HasMAC {
				t.Errorf("info: %+v", info)
			}
			want := p.Sops(p.Dir, "decrypt", "--extract", extract(leaf[name]), name)
			if got := at(t, tree, leaf[name]...); got != want {
				t.Errorf("we read another value than sops")
			}

			same, err := c.Edit(ctx, name, before, ids(p), nil)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, same, 0o640)
			if got := p.Sops(p.Dir, "decrypt", name); got != shown {
				t.Errorf("nothing was changed, and sops shows\n%s\ninstead of\n%s", got, shown)
			}
			if a, b := ciphertexts(before), ciphertexts(same); a != b {
				t.Errorf("values that did not change have new ciphertexts:\n%s\n%s", a, b)
			}

			parent := leaf[name][:len(leaf[name])-1]
			fresh := append(append([]string{}, parent...), "ADDED")
			edited, err := c.Edit(ctx, name, same, ids(p), []wire.Change{put("changed by zavhoz", leaf[name]...), put("new here", fresh...)})
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, edited, 0o640)
			if got := p.Sops(p.Dir, "decrypt", "--extract", extract(leaf[name]), name); got != "changed by zavhoz" {
				t.Errorf("sops reads %q after our edit", got)
			}
			if got := p.Sops(p.Dir, "decrypt", "--extract", extract(fresh), name); got != "new here" {
				t.Errorf("sops reads %q of what we added", got)
			}
			p.Sops(p.Dir, "set", name, extract(leaf[name]), `"changed by sops"`)
			p.Sops(p.Dir, "rotate", "--in-place", name)
			_, tree, err = c.Open(ctx, name, read(t, file), ids(p))
			if err != nil {
				t.Fatal(err)
			}
			if at(t, tree, leaf[name]...) != "changed by sops" {
				t.Errorf("we read another value than sops set")
			}

			rotated, err := c.Rotate(ctx, name, read(t, file), ids(p))
			if err != nil {
				t.Fatal(err)
			}
			if a, b := ciphertexts(read(t, file)), ciphertexts(rotated); a == b {
				t.Errorf("a rotation left ciphertexts as they were")
			}
			write(t, file, rotated, 0o640)
			if got := p.Sops(p.Dir, "decrypt", "--extract", extract(leaf[name]), name); got != "changed by sops" {
				t.Errorf("sops reads %q after our rotation", got)
			}
			gone, err := c.Edit(ctx, name, rotated, ids(p), []wire.Change{{Path: fresh, Unset: true}})
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, gone, 0o640)
			if out := p.Sops(p.Dir, "decrypt", name); strings.Contains(out, "ADDED") {
				t.Errorf("what we removed is still there: %s", out)
			}
		})
	}
}

// ciphertexts are a file's lines with values, without the MAC.
func ciphertexts(file []byte) string {
	var out []string
	for line := range bytes.Lines(file) {
		if bytes.Contains(line, []byte("ENC[")) && !bytes.Contains(line, []byte("mac")) {
			out = append(out, strings.TrimSpace(string(line)))
		}
	}
	return strings.Join(out, "\n")
}

// A file that we make is sops's like any other.
func TestCreateIsReadBySOPS(t *testing.T) {
	ctx, c, p, q := context.Background(), newCodec(t), sopstest.NewPerson(t), sopstest.NewPerson(t)
	tree := wire.Tree{Documents: []wire.Node{{Kind: wire.Map, Items: []wire.Item{
		{Value: wire.Node{Kind: wire.Comment, Text: str(" made by zavhoz").Text}},
		{Key: "api_keys", Value: wire.Node{Kind: wire.Map, Items: []wire.Item{
			{Key: "openai", Value: wire.Node{Kind: wire.Map, Items: []wire.Item{{Key: "key", Value: str("sk-abcdefghijklmnop")}, {Key: "service_clear", Value: str("openai")}}}},
		}}},
	}}}}
	config := "stores:\n  yaml:\n    indent: 2\ncreation_rules:\n  - path_regex: other\\.yaml$\n    age: " + q.Recipient() + "\n  - path_regex: \\.yaml$\n    age: " + p.Recipient() + "," + q.Recipient() + "\n    unencrypted_suffix: _clear\n"
	out, err := c.Create(ctx, sops.NewFile{Format: "yaml", Tree: tree, Config: []byte(config), Path: "made.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out, []byte("\n  openai:\n")) || !bytes.Contains(out, []byte("service_clear: openai")) || bytes.Contains(out, []byte("sk-abc")) {
		t.Errorf("indent and suffix of the rule: %s", out)
	}
	for _, who := range []*sopstest.Person{p, q} {
		write(t, filepath.Join(who.Dir, "made.yaml"), out, 0o600)
		if got := who.Sops(who.Dir, "decrypt", "--extract", `["api_keys"]["openai"]["key"]`, "made.yaml"); got != "sk-abcdefghijklmnop" {
			t.Errorf("sops reads %q", got)
		}
	}
	// And as sops itself would by the same rules.
	write(t, filepath.Join(p.Dir, ".sops.yaml"), []byte(config), 0o600)
	write(t, filepath.Join(p.Dir, "theirs.yaml"), []byte("a: b\nc_clear: d\n"), 0o600)
	p.Sops(p.Dir, "encrypt", "--in-place", "theirs.yaml")
	i, err := c.Inspect(ctx, "theirs.yaml", read(t, filepath.Join(p.Dir, "theirs.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := c.Inspect(ctx, "made.yaml", out)
	if err != nil {
		t.Fatal(err)
	}
	ours.Rules.Indent, i.Rules.Indent = 0, 0
	if i.Rules != ours.Rules || len(i.Groups[0]) != 2 || len(ours.Groups[0]) != 2 || i.Version != ours.Version {
		t.Errorf("sops made %+v, we %+v", i, ours)
	}
	if _, err := c.Create(ctx, sops.NewFile{Format: "yaml", Tree: tree, Config: []byte("creation_rules:\n  - pgp: ABCD\n"), Path: "x.yaml"}); fault.CodeOf(err) != fault.NotSupported {
		t.Errorf("a rule with PGP: %v", err)
	}
	if _, err := c.Create(ctx, sops.NewFile{Format: "dotenv", Tree: tree, Recipients: []string{p.Recipient()}}); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("a tree in dotenv: %v", err)
	}
}
