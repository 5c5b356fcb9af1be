package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// placed is each item's place and name, its labels and its problem.
func placed(items []importer.Item) string {
	var lines []string
	for _, i := range items {
		line := fmt.Sprintf("%s: %s%s %s %v", i.Where, i.Handle, i.Name, i.Project, i.Labels)
		if i.Problem != nil {
			line += " !" + string(i.Problem.Code)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// The layout's entries come with their place, hints and labels; each that is broken comes once, with what is wrong.
func TestTheLayoutIsReadWithItsProblems(t *testing.T) {
	items, err := importer.Read([]byte(`api_keys:
    crm: {key: the-key-of-the-crm, hosts: api.crm.example, env: CRM_KEY, labels: {team: red}}
    bad: {hosts: api.crm.example, env: CRM_KEY}
projects:
    shop:
        secrets: {A: a-value, B: another-value, C: {}}
        env_hints: {A: of the mail server, B: "two\nlines"}
        colour: red
`), importer.Options{Format: importer.YAML})
	want := `api_keys.crm: crm default map[team:red]
api_keys.bad: bad default map[] !secret_missing
projects.shop.secrets.A: A shop map[hint:of the mail server]
projects.shop.secrets.B: B shop map[]
projects.shop.secrets.C: projects.shop.secrets.C  map[] !invalid_argument
projects.shop.colour: projects.shop.colour  map[] !unknown_field`
	if err != nil || placed(items) != want {
		t.Errorf("%v\n%s", err, placed(items))
	}
}

// Every value of a file without the layout has a name by its way there; one without a value is none.
func TestATreeIsFlattened(t *testing.T) {
	items, err := importer.Read([]byte(`{"lower.case": "x", "db": {"1": {"pass word": "y"}, "none": null, "empty": "", "yes": true}, "list": [["z"], null, "w"]}`), importer.Options{Format: importer.JSON})
	want := "lower.case: lower.case  map[]\ndb.1.pass word: DB_1_PASS_WORD  map[]\ndb.empty: DB_EMPTY  map[]\ndb.yes: DB_YES  map[]\nlist.0.0: LIST_0_0  map[]\nlist.2: LIST_2  map[]"
	if err != nil || placed(items) != want {
		t.Errorf("%v\n%s", err, placed(items))
	}
}

// A verified SOPS file: a flat one belongs to the project that was named, remarks are no values, several documents are refused, and the tree stays its caller's.
func TestFromTreeOfSOPS(t *testing.T) {
	text := func(s string) wire.Node {
		return wire.Node{Kind: wire.String, Text: secret.FromString(s), Sealed: true}
	}
	doc := wire.Node{Kind: wire.Map, Items: []wire.Item{{Value: wire.Node{Kind: wire.Comment, Text: secret.FromString("a remark")}}, {Key: "A", Value: text("a-value")}}}
	for format, where := range map[string]string{"dotenv": "A: A shop map[]", "yaml": "A: A  map[]"} {
		items, err := importer.FromTree(wire.Tree{Documents: []wire.Node{doc}}, format, "shop")
		if err != nil || placed(items) != where {
			t.Errorf("%s: %v\n%s", format, err, placed(items))
		}
		importer.Wipe(items)
		if a, _ := doc.Get("A"); string(a.Text.Reveal()) != "a-value" {
			t.Errorf("%s: the tree's own value is gone", format)
		}
	}
	if items, err := importer.FromTree(wire.Tree{Documents: []wire.Node{text("a-value")}}, "yaml", ""); err != nil || items != nil {
		t.Errorf("a value without a name: %v %v", items, err)
	}
	for name, docs := range map[string][]wire.Node{"two": {doc, doc}, "none": nil} {
		items, err := importer.FromTree(wire.Tree{Documents: docs}, "yaml", "")
		if fault.CodeOf(err) != fault.NotSupported || items != nil {
			t.Errorf("%s: %v %v", name, items, err)
		}
	}
}
