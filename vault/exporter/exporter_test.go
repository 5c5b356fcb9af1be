package exporter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/exporter"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

var ctx = context.Background()

func TestMain(m *testing.M) { sopstest.Main(m) }

// house is a real vault; its audit log and its opener may be made to fail, and it tells what was recorded and opened.
type house struct {
	*vault.Vault
	opener exporter.Opener
	opened []secret.Secret
	noted  []audit.Event
	fails  error // of Noted
	seals  int   // how many values open before one does not; 0: all do
}

func (h *house) Open(ref keyring.Ref, sealed string) (secret.Secret, error) {
	if h.seals > 0 && len(h.opened) == h.seals {
		return secret.Secret{}, fault.New(fault.RecordTampered, "the value does not open", "")
	}
	s, err := h.opener.Open(ref, sealed)
	h.opened = append(h.opened, s)
	return s, err
}

// wiped tells that every value that was opened is gone from memory.
func (h *house) wiped(t *testing.T, least int) {
	t.Helper()
	if len(h.opened) < least {
		t.Errorf("%d values were opened", len(h.opened))
	}
	for i, s := range h.opened {
		if !s.IsZero() {
			t.Errorf("the value %d stays in memory", i)
		}
	}
}

func (h *house) Note(ctx context.Context, e audit.Event) error {
	h.noted = append(h.noted, e)
	return h.Vault.Note(ctx, e)
}

func (h *house) Noted(ctx context.Context) error {
	if h.fails != nil {
		return h.fails
	}
	return h.Vault.Noted(ctx)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newHouse has no program zavhoz-sops.
func newHouse(t *testing.T) (*house, *exporter.Exporter) {
	t.Helper()
	return houseWith(t, filepath.Join(t.TempDir(), "none"))
}

func houseWith(t *testing.T, helper string) (*house, *exporter.Exporter) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	must(t, err)
	k, _, err := keyring.Create([]age.Recipient{id.Recipient()})
	must(t, err)
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	must(t, err)
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: open.New(k)})
	must(t, err)
	must(t, v.Setup(ctx))
	t.Cleanup(func() {
		must(t, v.Close(ctx))
		must(t, st.Close())
		k.Close()
	})
	h := &house{Vault: v, opener: open.New(k)}
	return h, exporter.New(exporter.Options{Vault: h, Opener: h, Codec: sops.New(sops.Options{Helper: helper}), Recipients: backup.Parse})
}

// odd is a value that JSON writes with every sort of escape.
const odd = "a \"quoted\" \\ back\tslash\nand a line ключ"

func (h *house) fill(t *testing.T) {
	t.Helper()
	for _, n := range []vault.NewResource{
		{Kind: "generic", Handle: "one", Attrs: map[string]string{"env": "ONE", "env_more": "ONE_MORE"}, Labels: map[string]string{"team": "red"},
			Secrets: map[string]secret.Secret{"value": secret.FromString(odd), "more": secret.FromString("more-of-the-same")}},
		{Kind: "database", Handle: "db", Secrets: map[string]secret.Secret{"url": secret.FromString("postgres://app:hunter2hunter2@db.example/app")}},
		{Kind: "generic", Handle: "clear_unencrypted", Secrets: map[string]secret.Secret{"value": secret.FromString("some-value-here")}},
		{Kind: "generic", Handle: "house", Secrets: map[string]secret.Secret{"project": secret.FromString("some-value-here")}},
		{Kind: "generic", Handle: "inner", Secrets: map[string]secret.Secret{"x_unencrypted": secret.FromString("some-value-here")}},
	} {
		_, err := h.AddResource(ctx, vault.OperatorActor(), n)
		must(t, err)
	}
}

func TestAgeJSONComesBackWhole(t *testing.T) {
	h, x := newHouse(t)
	h.fill(t)
	reader, err := age.GenerateX25519Identity()
	must(t, err)
	out, err := x.Export(ctx, vault.OperatorActor(), exporter.Request{Refs: []string{"one", "db", "one"}, To: []string{reader.Recipient().String()}, Format: exporter.AgeJSON})
	must(t, err)
	if bytes.Contains(out.File, []byte("hunter2")) || len(out.Handles) != 2 || len(h.noted) != 2 || h.noted[0].Action != audit.ResourceExport || h.noted[1].Handle != "db" {
		t.Errorf("%v %v", out.Handles, h.noted)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(out.File)), reader)
	must(t, err)
	plain, err := io.ReadAll(r)
	must(t, err)
	items, err := importer.Read(plain, importer.Options{Format: importer.JSON})
	must(t, err)
	ds, err := importer.Plan(items, importer.Naming{})
	must(t, err)
	if len(ds) != 2 || ds[0].Handle != "db" || ds[1].Handle != "one" || string(ds[1].Secrets["value"].Reveal()) != odd || ds[1].Labels["team"] != "red" || ds[1].Attrs["env_more"] != "ONE_MORE" {
		t.Errorf("%v", ds)
	}
	if _, derived := ds[0].Secrets["password"]; derived || string(ds[0].Secrets["url"].Reveal()) != "postgres://app:hunter2hunter2@db.example/app" {
		t.Errorf("%v", ds[0].Fields())
	}
}

// Where the record cannot be written, nothing leaves.
func TestAttack70_NothingLeavesUnrecorded(t *testing.T) {
	h, x := newHouse(t)
	h.fill(t)
	h.fails = errors.New("the disk is full")
	reader, err := age.GenerateX25519Identity()
	must(t, err)
	out, err := x.Export(ctx, vault.OperatorActor(), exporter.Request{Refs: []string{"one"}, To: []string{reader.Recipient().String()}, Format: exporter.AgeJSON})
	if err == nil || len(out.File) != 0 {
		t.Errorf("%d bytes left, %v", len(out.File), err)
	}
}

// What SOPS would keep in clear, read as something else, or lose is refused, and so is a request for nobody.
func TestAttack66_ExportsRefuseWhatWouldStayClear(t *testing.T) {
	h, x := newHouse(t)
	h.fill(t)
	reader, err := age.GenerateX25519Identity()
	must(t, err)
	to := []string{reader.Recipient().String()}
	for _, c := range []struct {
		q    exporter.Request
		code fault.Code
	}{
		{exporter.Request{Refs: []string{"clear_unencrypted"}, To: to, Format: exporter.AgeJSON}, fault.NotSupported},
		{exporter.Request{Refs: []string{"inner"}, To: to, Format: exporter.AgeJSON}, fault.NotSupported},
		{exporter.Request{Refs: []string{"house"}, To: to, Format: exporter.AgeJSON}, fault.NotSupported},
		{exporter.Request{Refs: []string{"one"}, To: to}, fault.NotSupported}, // the program zavhoz-sops is missing
		{exporter.Request{Refs: []string{"one", "clear_unencrypted"}, To: to, Format: exporter.SOPSDotenv}, fault.NotSupported},
		{exporter.Request{Refs: []string{"one"}}, fault.InvalidArgument},
		{exporter.Request{To: to}, fault.InvalidArgument},
		{exporter.Request{Refs: []string{"one"}, To: to, Format: "clear"}, fault.InvalidArgument},
		{exporter.Request{Refs: []string{"one"}, To: []string{"hunter2"}}, fault.InvalidArgument},
		{exporter.Request{Refs: []string{"nothing"}, To: to}, fault.UnknownResource},
	} {
		if _, err := x.Export(ctx, vault.OperatorActor(), c.q); fault.CodeOf(err) != c.code {
			t.Errorf("%+v: %v, want %s", c.q, err, c.code)
		}
	}
	if len(h.noted) != 0 {
		t.Errorf("refused exports were recorded as made: %v", h.noted)
	}
}
