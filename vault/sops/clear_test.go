package sops

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// What is to be encrypted and stands in the file is found, in every form that a format gives it; what is like a name, or within what is encrypted, is not.
func TestAttack66_AValueInClearIsSeen(t *testing.T) {
	for _, x := range []struct {
		value, after, before string
		path                 []string
		want                 bool
	}{
		{"hunter2hunter2", "a: hunter2hunter2\n", "", nil, true},
		{"say \"hunter2hunter2\"\nnow", `{"a": "say \"hunter2hunter2\"\nnow"}`, "", nil, true},
		{"line one\nhunter2hunter2\n", "a: |\n    line one\n    hunter2hunter2\n", "", nil, true},
		{"hunter2hunter2", "a: ENC[AES256_GCM,data:hunter2hunter2=,iv:a,tag:b,type:str]\n", "", nil, false},
		{"hunter2hunter2", "a: ENC[AES256_GCM,data:x,iv:a,tag:b,type:str]\nb: hunter2hunter2\n", "", nil, true},
		{"root", "root: ENC[AES256_GCM,data:x,iv:a,tag:b,type:str]\n", "", []string{"root"}, false},
		{"root", "root: root\n", "", []string{"root"}, true},
		{"prod", "env: prod\na: ENC[AES256_GCM,data:x,iv:a,tag:b,type:str]\n", "env: prod\n", nil, false},
		{"prod", "env: prod\na: prod\n", "env: prod\n", nil, true},
		{"mac", "a: mac\n", "", nil, false}, // too short to be told
	} {
		n := wire.Node{Kind: wire.Map, Items: []wire.Item{{Key: "a", Value: wire.Node{Kind: wire.String, Text: secret.FromString(x.value), Sealed: true}}}}
		if got := shows([]byte(x.after), []byte(x.before), x.path, n); got != x.want {
			t.Errorf("%q in %q: %v", x.value, x.after, got)
		}
		n.Items[0].Value.Sealed = false
		if shows([]byte(x.after), []byte(x.before), x.path, n) {
			t.Errorf("%q need not be encrypted", x.value)
		}
	}
}
