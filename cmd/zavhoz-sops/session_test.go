package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

func testKey() secret.Secret { return secret.FromString(strings.Repeat("k", 32)) }

func node(s string) wire.Node { return wire.Node{Kind: wire.String, Text: secret.FromString(s)} }

func doc(items ...wire.Item) wire.Node { return wire.Node{Kind: wire.Map, Items: items} }

// request asks one thing of a session.
func request(s *session, op wire.Op, body []byte) (wire.Op, []byte) {
	r := s.answer(wire.Frame{Op: op, Number: 7, Body: body})
	return r.Op, r.Body
}

// made is a small file of a format, made by a session of its own.
func made(t testing.TB, format string, root wire.Node) []byte {
	t.Helper()
	q := wire.CreateRequest{Format: format, Key: testKey(), Tree: wire.Tree{Documents: []wire.Node{root}}, Groups: [][]wire.Key{{{Type: "age", Name: "age1x", Enc: "ENC"}}}}
	op, body := request(&session{}, wire.OpCreate, q.Encode())
	if op != wire.OpCreate {
		why, _ := wire.DecodeFail(body)
		t.Fatalf("%s: %v", format, why)
	}
	file, err := wire.DecodeFile(body)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func wantFail(t *testing.T, what string, op wire.Op, body []byte, code wire.Code) {
	t.Helper()
	why, err := wire.DecodeFail(body)
	if op != wire.OpFail || err != nil || why.Code != code {
		t.Errorf("%s: op %d, %v %v; want %d", what, op, why, err, code)
	}
}

// What comes out of turn is refused, and nothing of an earlier file is left for it.
func TestOutOfTurn(t *testing.T) {
	file := made(t, "yaml", doc(wire.Item{Key: "a", Value: node("value")}))
	s := &session{}
	open := func() []byte { return wire.EncodeKey(testKey()) }
	op, body := request(s, wire.OpOpen, open())
	wantFail(t, "open before inspect", op, body, wire.FailProtocol)
	op, body = request(s, 99, nil)
	wantFail(t, "unknown operation", op, body, wire.FailProtocol)
	op, body = request(s, wire.OpInspect, []byte{1})
	wantFail(t, "broken body", op, body, wire.FailProtocol)
	inspect := wire.InspectRequest{Name: "a.yaml", File: file}.Encode()
	if op, _ = request(s, wire.OpInspect, inspect); op != wire.OpInspect {
		t.Fatal("inspect")
	}
	op, body = request(s, wire.OpOpen, wire.EncodeKey(secret.FromString(strings.Repeat("x", 32))))
	wantFail(t, "another key", op, body, wire.FailValue)
	op, body = request(s, wire.OpOpen, open())
	wantFail(t, "the right key after a wrong one", op, body, wire.FailProtocol)
	request(s, wire.OpInspect, inspect)
	if op, _ = request(s, wire.OpOpen, open()); op != wire.OpOpen {
		t.Fatal("open")
	}
	op, body = request(s, wire.OpRewrap, wire.RewrapRequest{Groups: [][]wire.Key{{{Type: "age", Name: "age1y", Enc: "E"}}}}.Encode())
	wantFail(t, "rewrap of an open file", op, body, wire.FailProtocol)
	edit := wire.EditRequest{Key: testKey(), Changes: []wire.Change{{Path: []string{"a"}, Value: node("other")}}}
	if op, _ = request(s, wire.OpEdit, edit.Encode()); op != wire.OpEdit {
		t.Fatal("edit")
	}
	op, body = request(s, wire.OpOpen, open())
	wantFail(t, "after an edit the session is empty", op, body, wire.FailProtocol)
}

// Names and values that a format would read back as something else are refused before they are written.
func TestWhatAFormatCannotHold(t *testing.T) {
	long := strings.Repeat("x", 40)
	for what, x := range map[string]struct {
		format string
		root   wire.Node
	}{
		"sops in yaml":       {"yaml", doc(wire.Item{Key: "sops", Value: node("v")})},
		"sops_ in dotenv":    {"dotenv", doc(wire.Item{Key: "sops_mac", Value: node("v")})},
		"empty name":         {"json", doc(wire.Item{Key: "", Value: node("v")})},
		"newline in a name":  {"yaml", doc(wire.Item{Key: "a\nb", Value: node("v")})},
		"equals in dotenv":   {"dotenv", doc(wire.Item{Key: "a=b", Value: node("v")})},
		"comment in dotenv":  {"dotenv", doc(wire.Item{Key: "#a", Value: node("v")})},
		"map in dotenv":      {"dotenv", doc(wire.Item{Key: "a", Value: doc()})},
		"list in ini":        {"ini", doc(wire.Item{Key: "a", Value: wire.Node{Kind: wire.List}})},
		"no section":         {"ini", doc(wire.Item{Key: "a", Value: node("v")})},
		"deep ini":           {"ini", doc(wire.Item{Key: "a", Value: doc(wire.Item{Key: "b", Value: doc()})})},
		"bracket in ini":     {"ini", doc(wire.Item{Key: "a]", Value: doc(wire.Item{Key: "b", Value: node(long)})})},
		"newline in comment": {"yaml", doc(wire.Item{Value: wire.Node{Kind: wire.Comment, Text: secret.FromString("a\nb: c")}}, wire.Item{Key: "a", Value: node("v")})},
		"clear newline":      {"dotenv", doc(wire.Item{Key: "A_unencrypted", Value: node(`a\nb`)})},
		"clear binary":       {"yaml", doc(wire.Item{Key: "A_unencrypted", Value: node("\xff")})},
		"no number":          {"yaml", doc(wire.Item{Key: "a", Value: wire.Node{Kind: wire.Int, Text: secret.FromString("x")}})},
	} {
		q := wire.CreateRequest{Format: x.format, Key: testKey(), Tree: wire.Tree{Documents: []wire.Node{x.root}}, Groups: [][]wire.Key{{{Type: "age", Name: "age1x", Enc: "ENC"}}}}
		op, body := request(&session{}, wire.OpCreate, q.Encode())
		wantFail(t, what, op, body, wire.FailValueType)
	}
	q := wire.CreateRequest{Format: "yaml", Key: testKey(), Tree: wire.Tree{Documents: []wire.Node{doc(wire.Item{Key: "a", Value: node("1")}, wire.Item{Key: "a", Value: node("2")})}}, Groups: [][]wire.Key{{{Type: "age", Name: "a", Enc: "E"}}}}
	op, body := request(&session{}, wire.OpCreate, q.Encode())
	wantFail(t, "a name twice", op, body, wire.FailDuplicate)
}

// Our cipher and SOPS's open each other's values, of every type; a moved one opens in neither.
func TestCipherIsSOPSs(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	ours, err := newCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	theirs := aes.NewCipher()
	for _, v := range []any{"text", "", "zürich\n", 42, -1, 1.5, true, false, sops.Comment{Value: " remark"}} {
		a, err := ours.Encrypt(v, key, "a:b:")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := theirs.Decrypt(a, key, "a:b:"); err != nil || got != v {
			t.Errorf("theirs reads %v of ours as %v, %v", v, got, err)
		}
		b, err := theirs.Encrypt(v, key, "a:b:")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ours.Decrypt(b, key, "a:b:"); err != nil || got != v {
			t.Errorf("ours reads %v of theirs as %v, %v", v, got, err)
		}
		if again, _ := ours.Encrypt(v, key, "a:b:"); again != b {
			t.Errorf("%v: a value that was read is written otherwise", v)
		}
		if _, err := ours.Decrypt(b, key, "a:c:"); err == nil && v != "" {
			t.Errorf("%v: moved, it opens", v)
		}
	}
	for _, bad := range []string{"x", "ENC[]", "ENC[AES256_GCM,data:,iv:,tag:,type:str]", "ENC[AES256_GCM,data:AA==,iv:" + strings.Repeat("A", 400) + ",tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]"} {
		if _, err := ours.Decrypt(bad, key, "a:"); err == nil {
			t.Errorf("%q opens", bad)
		}
	}
}

// The first creation rule that fits counts, as with SOPS; broken ones are refused.
func TestCreationRules(t *testing.T) {
	for what, x := range map[string]struct {
		config string
		code   wire.Code
		found  bool
	}{
		"none":      {"stores: {}\n", 0, false},
		"any":       {"creation_rules: [{age: a}]\n", 0, true},
		"no fit":    {"creation_rules: [{path_regex: '^x$', age: a}]\n", wire.FailRules, false},
		"no regexp": {"creation_rules: [{path_regex: '('}]\n", wire.FailRules, false},
		"two rules": {"creation_rules: [{age: a, encrypted_regex: a, encrypted_suffix: b}]\n", wire.FailRules, true},
		"no yaml":   {"creation_rules: [", wire.FailRules, false},
		"number":    {"creation_rules: [{age: 7}]\n", wire.FailRules, true},
		"threshold": {"creation_rules: [{shamir_threshold: 9, key_groups: [{age: [a]}, {age: [b]}]}]\n", wire.FailRules, true},
	} {
		c, err := creation(wire.RulesRequest{Config: []byte(x.config), Path: "d/a.yaml"})
		why, _ := err.(wire.Fail)
		if why.Code != x.code || x.code == 0 && c.Found != x.found {
			t.Errorf("%s: %v, %+v", what, err, c)
		}
	}
	c, err := creation(wire.RulesRequest{Config: []byte("creation_rules:\n- path_regex: b$\n  age: no\n- key_groups:\n  - age: ['a, b', a]\n    merge: [{pgp: [X]}]\n  - age: c\n"), Path: "a.yaml"})
	if err != nil || len(c.Groups) != 2 || len(c.Groups[0]) != 3 || c.Groups[0][0].Type != "pgp" || c.Threshold != 2 {
		t.Errorf("%+v %v", c, err)
	}
}

// FuzzSession: no sequence of frames makes the helper panic, hang or speak without being asked.
func FuzzSession(f *testing.F) {
	for _, format := range []string{"yaml", "json", "dotenv"} {
		file := made(f, format, doc(wire.Item{Key: "a", Value: node("value")}))
		f.Add(byte(wire.OpInspect), wire.InspectRequest{Format: format, File: file}.Encode(), byte(wire.OpOpen), wire.EncodeKey(testKey()))
	}
	file := made(f, "ini", doc(wire.Item{Key: "s", Value: doc(wire.Item{Key: "a", Value: node("value")})}))
	f.Add(byte(wire.OpInspect), wire.InspectRequest{Name: "a.ini", File: file}.Encode(), byte(wire.OpEdit),
		wire.EditRequest{Key: testKey(), Changes: []wire.Change{{Path: []string{"s", "b"}, Value: node("w")}}}.Encode())
	f.Add(byte(wire.OpRules), wire.RulesRequest{Config: []byte("creation_rules: [{age: a}]"), Path: "x"}.Encode(), byte(wire.OpSplit), wire.SplitRequest{Key: testKey(), Parts: 3, Threshold: 2}.Encode())
	f.Fuzz(func(t *testing.T, op1 byte, body1 []byte, op2 byte, body2 []byte) {
		var in, out bytes.Buffer
		for i, q := range []wire.Frame{{Op: wire.Op(op1), Number: 1, Body: body1}, {Op: wire.Op(op2), Number: 2, Body: body2}} {
			if err := wire.Write(&in, q); err != nil {
				t.Fatal(i, err)
			}
		}
		if err := serve(&in, &out); err != nil {
			t.Fatal(err)
		}
		for n := range uint32(3) {
			r, err := wire.Read(&out)
			if err != nil || r.Number != n {
				t.Fatalf("answer %d: number %d, %v", n, r.Number, err)
			}
			if r.Op == wire.OpFail {
				if why, err := wire.DecodeFail(r.Body); err != nil || why.Code == wire.FailInternal {
					t.Fatalf("answer %d: %v %v", n, why, err)
				}
			}
		}
		if _, err := wire.Read(&out); err != io.EOF {
			t.Fatal("it says more than it was asked")
		}
	})
}

// A value in clear that was changed, and a key that was taken away, are found by the MAC alone.
func TestTheMACIsCompared(t *testing.T) {
	file := made(t, "yaml", doc(wire.Item{Key: "a", Value: node("value")}, wire.Item{Key: "b_unencrypted", Value: node("clear-text")}))
	for _, changed := range [][]byte{
		bytes.Replace(file, []byte("clear-text"), []byte("other-text"), 1),
		bytes.Replace(file, []byte("b_unencrypted: clear-text\n"), nil, 1),
	} {
		s := &session{}
		if op, _ := request(s, wire.OpInspect, wire.InspectRequest{Name: "a.yaml", File: changed}.Encode()); op != wire.OpInspect || bytes.Equal(changed, file) {
			t.Fatal("inspect")
		}
		op, body := request(s, wire.OpOpen, wire.EncodeKey(testKey()))
		wantFail(t, "changed", op, body, wire.FailMAC)
		op, body = request(s, wire.OpEdit, wire.EditRequest{Key: testKey()}.Encode())
		wantFail(t, "an edit after it", op, body, wire.FailProtocol)
	}
}
