package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/secret"
)

func node(s string) Node { return Node{Kind: String, Text: secret.FromString(s)} }

var sample = Tree{Documents: []Node{{Kind: Map, Items: []Item{
	{Value: Node{Kind: Comment, Text: secret.FromString(" a comment")}},
	{Key: "list", Value: Node{Kind: List, Items: []Item{{Value: node("one")}, {Value: Node{}}, {Value: Node{Kind: Int, Text: secret.FromString("7")}}}}},
	{Key: "empty", Value: Node{Kind: Map}},
	{Key: "sealed", Value: Node{Kind: String, Text: secret.FromString("two"), Sealed: true}},
}}}}

// show writes a tree out for comparison: secrets do not compare.
func show(n Node) string {
	s := string(rune('0'+n.Kind)) + strconv.FormatBool(n.Sealed) + string(n.Text.Reveal()) + "("
	for _, i := range n.Items {
		s += i.Key + "=" + show(i.Value) + ";"
	}
	return s + ")"
}

// Every message comes back as it went.
func TestMessagesComeBack(t *testing.T) {
	groups := [][]Key{{{"age", "age1x", "ENC"}, {"pgp", "ABCD", ""}}, {{"age", "age1y", "ENC2"}}}
	rules := Rules{EncryptedRegex: "^x$", MACOnly: true, Indent: -1}
	info := Info{"yaml", 2, "3.13.3", "2026-01-01T00:00:00Z", true, 2, groups, rules}
	if got, err := DecodeInfo(info.Encode()); err != nil || !reflect.DeepEqual(got, info) {
		t.Errorf("%+v %v", got, err)
	}
	creation := Creation{true, groups, 2, rules}
	if got, err := DecodeCreation(creation.Encode()); err != nil || !reflect.DeepEqual(got, creation) {
		t.Errorf("%+v %v", got, err)
	}
	rewrap := RewrapRequest{groups, 1}
	if got, err := DecodeRewrap(rewrap.Encode()); err != nil || !reflect.DeepEqual(got, rewrap) {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := DecodeTree(EncodeTree(sample)); err != nil || show(got.Documents[0]) != show(sample.Documents[0]) {
		t.Errorf("%v", err)
	}
	key := secret.FromString(strings.Repeat("k", 32))
	edit := EditRequest{key, []Change{{Path: []string{"a", "0"}, Value: sample.Documents[0]}, {Path: []string{"b"}, Unset: true}}}
	if got, err := DecodeEdit(edit.Encode()); err != nil || len(got.Changes) != 2 || !got.Changes[1].Unset || show(got.Changes[0].Value) != show(sample.Documents[0]) || !got.Key.Equal(key) {
		t.Errorf("%+v %v", got, err)
	}
	create := CreateRequest{"ini", groups, 2, rules, key, sample}
	if got, err := DecodeCreate(create.Encode()); err != nil || got.Format != "ini" || !got.Key.Equal(key) || show(got.Tree.Documents[0]) != show(sample.Documents[0]) {
		t.Errorf("%v", err)
	}
	if got, err := DecodeRotate(RotateRequest{key, key, groups, 2}.Encode()); err != nil || !got.New.Equal(key) {
		t.Errorf("%v", err)
	}
	if got, err := DecodeFail(Fail{FailMAC, 7}.Encode()); err != nil || got != (Fail{FailMAC, 7}) {
		t.Errorf("%+v %v", got, err)
	}
}

// The numbers of the protocol's first bytes do not change within a version.
func TestHelloIsFrozen(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, Frame{Op: OpHello, Body: Hello{Version}.Encode()}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != "\x00\x00\x00\x16\x01\x00\x00\x00\x00zavhoz-sops wire\x02" {
		t.Errorf("%q", got)
	}
}

// False lengths take no memory and end in one error.
func TestFalseLengths(t *testing.T) {
	for _, n := range []uint32{0, 4, MaxFrame + 1, 1<<32 - 1} {
		if _, err := Read(bytes.NewReader(binary.BigEndian.AppendUint32(nil, n))); err == nil {
			t.Errorf("a length of %d is taken", n)
		}
		b := append(binary.BigEndian.AppendUint32(nil, n), make([]byte, 64)...)
		if _, err := Read(bytes.NewReader(b)); !errors.Is(err, ErrFrame) {
			t.Errorf("a length of %d: %v", n, err)
		}
	}
	head := append(binary.BigEndian.AppendUint32(nil, MaxFrame), 1, 0, 0, 0, 0)
	if n := testing.AllocsPerRun(10, func() { _, _ = Read(bytes.NewReader(head)) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
	if _, err := Read(bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Error("the end is none")
	}
	list := []byte{1, byte(List), 0xff, 0xff, 0xff, 0xff, 0x0f}
	if _, err := DecodeTree(list); !errors.Is(err, ErrBody) {
		t.Errorf("a false count: %v", err)
	}
	deep := append([]byte{1}, bytes.Repeat([]byte{byte(List), 1}, 5000)...)
	if _, err := DecodeTree(append(deep, 0)); !errors.Is(err, ErrBody) {
		t.Errorf("a deep tree: %v", err)
	}
}

// FuzzBodies: no body makes a reader panic, and what it takes for a tree it writes the same way again.
func FuzzBodies(f *testing.F) {
	f.Add(EncodeTree(sample))
	f.Add(Info{Format: "yaml", Groups: [][]Key{{{"age", "a", "b"}}}}.Encode())
	f.Add(EditRequest{Changes: []Change{{Path: []string{"a"}, Value: node("b")}}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if tree, err := DecodeTree(b); err == nil {
			again, err := DecodeTree(EncodeTree(tree))
			if err != nil || len(again.Documents) != len(tree.Documents) {
				t.Fatalf("a tree does not come back: %v", err)
			}
			for i := range tree.Documents {
				if show(again.Documents[i]) != show(tree.Documents[i]) {
					t.Fatal("a tree comes back as another")
				}
			}
		}
		_, _ = DecodeHello(b)
		_, _ = DecodeInfo(b)
		_, _ = DecodeEdit(b)
		_, _ = DecodeRewrap(b)
		_, _ = DecodeRotate(b)
		_, _ = DecodeCreate(b)
		_, _ = DecodeCreation(b)
		_, _ = DecodeRules(b)
		_, _ = DecodeSplit(b)
		_, _ = DecodeShares(b)
		_, _ = DecodeInspect(b)
		_, _ = DecodeFail(b)
		_, _ = DecodeKey(b)
		_, _ = DecodeFile(b)
		if frame, err := Read(bytes.NewReader(b)); err == nil && len(frame.Body) > len(b) {
			t.Fatal("a body longer than what came")
		}
	})
}
