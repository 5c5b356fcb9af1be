package main

import (
	"bytes"
	"testing"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

func toSeal(s string) wire.Node {
	return wire.Node{Kind: wire.String, Text: secret.FromString(s), Sealed: true}
}

// edited asks for changes of a file whose rules somebody without the key replaced.
func edited(t *testing.T, file []byte, changes ...wire.Change) (wire.Op, []byte) {
	t.Helper()
	s := &session{}
	if op, _ := request(s, wire.OpInspect, wire.InspectRequest{Name: "a.yaml", File: file}.Encode()); op != wire.OpInspect {
		t.Fatal("inspect")
	}
	return request(s, wire.OpEdit, wire.EditRequest{Key: testKey(), Changes: changes}.Encode())
}

// What has to be encrypted is, whatever the file's rules say, or nothing is written.
func TestAttack66_TheHelperLeavesNoSecretInClear(t *testing.T) {
	file := made(t, "yaml", doc(wire.Item{Key: "key", Value: node("value")}))
	file = bytes.Replace(file, []byte("unencrypted_suffix: _unencrypted"), []byte("encrypted_regex: ^key$"), 1)
	op, body := edited(t, file, wire.Change{Path: []string{"a", "token"}, Value: toSeal("another")})
	wantFail(t, "a name that the rules leave out", op, body, wire.FailClear)
	op, body = edited(t, file, wire.Change{Path: []string{"a"}, Value: doc(wire.Item{Key: "key", Value: toSeal("x-y-z")}, wire.Item{Key: "list", Value: wire.Node{Kind: wire.List, Items: []wire.Item{{Value: toSeal("another")}}}})})
	wantFail(t, "within a list", op, body, wire.FailClear)
	op, body = edited(t, file, wire.Change{Path: []string{"token"}, Value: toSeal("ENC[AES256_GCM,data:feigned")})
	wantFail(t, "what looks encrypted", op, body, wire.FailClear)
	if op, _ = edited(t, file, wire.Change{Path: []string{"a", "key"}, Value: toSeal("another")}, wire.Change{Path: []string{"note"}, Value: node("clear")}); op != wire.OpEdit {
		t.Error("what the rules do encrypt is refused")
	}
	q := wire.CreateRequest{Format: "yaml", Key: testKey(), Rules: wire.Rules{EncryptedRegex: "^key$"}, Groups: [][]wire.Key{{{Type: "age", Name: "age1x", Enc: "ENC"}}},
		Tree: wire.Tree{Documents: []wire.Node{doc(wire.Item{Key: "token", Value: toSeal("another")})}}}
	op, body = request(&session{}, wire.OpCreate, q.Encode())
	wantFail(t, "a new file", op, body, wire.FailClear)
}

// A comment that decides is not taken away from above what stays: it would come to be in clear, or seem to have been encrypted.
func TestAttack66_NothingTurnsOver(t *testing.T) {
	for _, rules := range []wire.Rules{{EncryptedComment: "mark"}, {UnencryptedComment: "mark"}} {
		q := wire.CreateRequest{Format: "yaml", Key: testKey(), Rules: rules, Groups: [][]wire.Key{{{Type: "age", Name: "age1x", Enc: "ENC"}}},
			Tree: wire.Tree{Documents: []wire.Node{doc(wire.Item{Value: wire.Node{Kind: wire.Comment, Text: secret.FromString("mark")}}, wire.Item{Key: "a", Value: node("one")}, wire.Item{Key: "b", Value: node("two")})}}}
		op, body := request(&session{}, wire.OpCreate, q.Encode())
		if op != wire.OpCreate {
			t.Fatal("create")
		}
		file, err := wire.DecodeFile(body)
		if err != nil {
			t.Fatal(err)
		}
		op, body = edited(t, file, wire.Change{Path: []string{"a"}, Unset: true})
		wantFail(t, "the mark falls to the next", op, body, wire.FailClear)
	}
}

// Each value says how it stood.
func TestWhatWasSealedIsSaid(t *testing.T) {
	file := made(t, "yaml", doc(wire.Item{Key: "a", Value: node("one")}, wire.Item{Key: "b_unencrypted", Value: node("ENC[AES256_GCM,data:feigned")}, wire.Item{Key: "c", Value: node("")}))
	s := &session{}
	request(s, wire.OpInspect, wire.InspectRequest{Name: "a.yaml", File: file}.Encode())
	_, body := request(s, wire.OpOpen, wire.EncodeKey(testKey()))
	tree, err := wire.DecodeTree(body)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, false} {
		if got := tree.Documents[0].Items[i].Value.Sealed; got != want {
			t.Errorf("%s: %v", tree.Documents[0].Items[i].Key, got)
		}
	}
}
