package sops_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

var small = wire.Tree{Documents: []wire.Node{{Kind: wire.Map, Items: []wire.Item{{Key: "a", Value: str("one value")}}}}}

// Recipients are added and removed; the values keep their ciphertexts; who was removed reads no more of it, who was added does.
func TestUpdateKeys(t *testing.T) {
	ctx, c, p, q, r := context.Background(), newCodec(t), sopstest.NewPerson(t), sopstest.NewPerson(t), sopstest.NewPerson(t)
	file, err := c.Create(ctx, sops.NewFile{Format: "yaml", Tree: small, Recipients: []string{p.Recipient(), q.Recipient()}})
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.UpdateKeys(ctx, "a.yaml", file, ids(p), [][]string{{p.Recipient(), r.Recipient()}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if ciphertexts(file) != ciphertexts(next) {
		t.Error("values were encrypted anew")
	}
	write(t, filepath.Join(r.Dir, "a.yaml"), next, 0o600)
	write(t, filepath.Join(q.Dir, "a.yaml"), next, 0o600)
	if got := r.Sops(r.Dir, "decrypt", "--extract", `["a"]`, "a.yaml"); got != "one value" {
		t.Errorf("sops reads %q", got)
	}
	if _, err := q.Try(q.Dir, "", "sops", "decrypt", "a.yaml"); err == nil {
		t.Error("who was removed reads the file")
	}
	_, _, err = c.Open(ctx, "a.yaml", next, ids(q))
	wantCode(t, err, fault.WrongIdentity)
	_, _, err = c.Open(ctx, "a.yaml", next, nil)
	wantCode(t, err, fault.WrongIdentity)
	_, err = c.UpdateKeys(ctx, "a.yaml", file, ids(p), [][]string{{"AGE-SECRET-KEY-1NOTARECIPIENT"}}, 0)
	wantCode(t, err, fault.InvalidArgument)
	if strings.Contains(err.Error(), "SECRET-KEY") {
		t.Error("a refusal repeats what may be an identity")
	}
}

// Every sort of identity that age has opens a file: hybrid and ssh, made by us; sops reads ssh's too.
func TestOtherSortsOfKeys(t *testing.T) {
	ctx, c, p := context.Background(), newCodec(t), sopstest.NewPerson(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sshID, err := agessh.NewEd25519Identity(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	file, err := c.Create(ctx, sops.NewFile{Format: "json", Tree: small, Recipients: []string{hybrid.Recipient().String(), line, p.Recipient()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []age.Identity{hybrid, sshID, p.Identity} {
		_, tree, err := c.Open(ctx, "a.json", file, []age.Identity{id})
		if err != nil || at(t, tree, "a") != "one value" {
			t.Errorf("%T: %v", id, err)
		}
	}
	rotated, err := c.Rotate(ctx, "a.json", file, []age.Identity{hybrid})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.Dir, "a.json"), rotated, 0o600)
	if got := p.Sops(p.Dir, "decrypt", "--extract", `["a"]`, "a.json"); got != "one value" {
		t.Errorf("sops reads %q", got)
	}
}

// Key groups: the data key is shared among them, both ways with sops; too few identities open nothing.
func TestKeyGroups(t *testing.T) {
	ctx, c, p, q, r := context.Background(), newCodec(t), sopstest.NewPerson(t), sopstest.NewPerson(t), sopstest.NewPerson(t)
	config := "creation_rules:\n  - shamir_threshold: 2\n    key_groups:\n      - age: [" + p.Recipient() + "]\n      - age: [" + q.Recipient() + "]\n      - age: [" + r.Recipient() + "]\n"
	write(t, filepath.Join(p.Dir, ".sops.yaml"), []byte(config), 0o600)
	path := filepath.Join(p.Dir, "theirs.yaml")
	write(t, path, []byte("a: one value\n"), 0o600)
	p.Sops(p.Dir, "encrypt", "--in-place", "theirs.yaml")
	theirs := read(t, path)
	info, tree, err := c.Open(ctx, path, theirs, ids(r, q))
	if err != nil || at(t, tree, "a") != "one value" || len(info.Groups) != 3 || info.Threshold != 2 {
		t.Fatalf("open: %v %+v", err, info)
	}
	_, _, err = c.Open(ctx, path, theirs, ids(p))
	wantCode(t, err, fault.WrongIdentity)

	ours, err := c.Create(ctx, sops.NewFile{Format: "yaml", Tree: small, Config: []byte(config), Path: "ours.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	for what, file := range map[string]func() ([]byte, error){
		"created": func() ([]byte, error) { return ours, nil },
		"edited": func() ([]byte, error) {
			return c.Edit(ctx, path, theirs, ids(p, q), []wire.Change{put("one value", "a")})
		},
		"rotated": func() ([]byte, error) { return c.Rotate(ctx, path, theirs, ids(p, q)) },
		"rewrapped": func() ([]byte, error) {
			return c.UpdateKeys(ctx, path, theirs, ids(p, q), [][]string{{p.Recipient()}, {r.Recipient()}}, 2)
		},
	} {
		b, err := file()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		write(t, path, b, 0o600)
		write(t, filepath.Join(p.Dir, "key.txt"), []byte(p.Identity.String()+"\n"+r.Identity.String()+"\n"), 0o600)
		if got := p.Sops(p.Dir, "decrypt", "--extract", `["a"]`, "theirs.yaml"); got != "one value" {
			t.Errorf("%s: sops reads %q", what, got)
		}
		write(t, filepath.Join(p.Dir, "key.txt"), []byte(p.Identity.String()+"\n"), 0o600)
		if _, err := p.Try(p.Dir, "", "sops", "decrypt", "theirs.yaml"); err == nil {
			t.Errorf("%s: one group is enough", what)
		}
	}
}

// Keys of other kinds stay as they are while the data key does; to rotate it is refused.
func TestForeignKeys(t *testing.T) {
	ctx, c, p := context.Background(), newCodec(t), sopstest.NewPerson(t)
	file, err := c.Create(ctx, sops.NewFile{Format: "yaml", Tree: small, Recipients: []string{p.Recipient()}})
	if err != nil {
		t.Fatal(err)
	}
	pgp := "\n    pgp:\n        - created_at: \"2026-01-01T00:00:00Z\"\n          enc: |\n            -----BEGIN PGP MESSAGE-----\n            abc=\n            -----END PGP MESSAGE-----\n          fp: 85D77543B3D624B63CEA9E6DBC17301B491B3F21\n    lastmodified:"
	mixed := []byte(strings.Replace(string(file), "\n    lastmodified:", pgp, 1))
	edited, err := c.Edit(ctx, "a.yaml", mixed, ids(p), []wire.Change{put("another", "a")})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := c.UpdateKeys(ctx, "a.yaml", edited, ids(p), [][]string{{p.Recipient(), sopstest.NewPerson(t).Recipient()}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	i, err := c.Inspect(ctx, "a.yaml", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(wrapped), "BEGIN PGP MESSAGE-----\n            abc=") || len(i.Groups[0]) != 3 || i.Groups[0][0].Type != "pgp" {
		t.Errorf("the PGP key is another: %+v", i.Groups)
	}
	_, err = c.Rotate(ctx, "a.yaml", mixed, ids(p))
	wantCode(t, err, fault.NotSupported)
}
