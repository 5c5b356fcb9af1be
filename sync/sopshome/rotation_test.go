package sopshome_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/rotate"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

const smtpPath, dbPath = `["resources"]["smtp"]["value"]`, `["databases"]["main"]`

// rotator is the product's, over the home.
func (h *house) rotator() *rotate.Rotator {
	return rotate.New(rotate.Options{Vault: h.Home, Opener: h.opener})
}

// A random value, and one that a person gives, are in the file, where sops reads them, and in the vault; --abort brings the former back into both; the end forgets it.
func TestAResourceOfAFileIsRotated(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text()+"databases:\n    main: postgres://app:hunter2hunter2@db.example:5432/app\n")
	h := newHouse(t, p, "secrets.yaml")
	s, err := h.rotator().Start(ctx, operator, "smtp", rotate.Request{Generate: 32})
	must(t, err)
	fresh := h.value("smtp", "value")
	if s.Rotation.Step != vault.RotationSwitched || len(fresh) != 32 || h.has("secrets.yaml", smtpPath) != fresh || h.get("smtp").Version != 2 {
		t.Fatalf("%+v; the file and the vault differ: %v", s, h.has("secrets.yaml", smtpPath) != fresh)
	}
	p.Sops(p.Dir, "set", "secrets.yaml", smtpPath, `"a-value-of-a-person"`) // while it is under way
	h.Settle(ctx)
	if h.value("smtp", "value") != fresh || h.problem("resources.smtp") != fault.ResourceBusy {
		t.Errorf("an entry was changed within its rotation: %+v", h.States())
	}
	_, err = h.rotator().Abort(ctx, operator, "smtp")
	wantCode(t, err, fault.VersionConflict) // a third value
	p.Sops(p.Dir, "set", "secrets.yaml", smtpPath, `"`+fresh+`"`)
	_, err = h.rotator().Abort(ctx, operator, "smtp")
	must(t, err)
	if h.has("secrets.yaml", smtpPath) != "some-smtp-password" || h.value("smtp", "value") != "some-smtp-password" {
		t.Error("it was not taken back")
	}
	_, err = h.rotator().Start(ctx, operator, "openai", rotate.Request{Secrets: one("key", keyB)})
	must(t, err)
	if h.has("secrets.yaml", `["api_keys"]["openai"]["key"]`) != keyB || h.value("openai", "key") != keyB {
		t.Error("a given value did not reach the file")
	}
	_, err = h.rotator().Resume(ctx, operator, "openai") // ends the overlap
	must(t, err)
	_, err = h.rotator().Start(ctx, operator, "shop.stripe_key", rotate.Request{Generate: 24})
	must(t, err)
	if h.has("secrets.yaml", `["projects"]["shop"]["secrets"]["STRIPE_KEY"]`) != h.value("shop.stripe_key", "value") {
		t.Error("a project's secret did not reach the file")
	}
	_, err = h.rotator().Start(ctx, operator, "main", rotate.Request{Method: "guided", Secrets: one("url", "postgres://app:another-password-7@db.example:5432/app")})
	must(t, err)
	if got := h.has("secrets.yaml", dbPath); !strings.Contains(got, ":another-password-7@") || h.value("main", "password") != "another-password-7" {
		t.Errorf("an entry of one value: %q", got)
	}
	before := h.get("main").Version
	h.restart()
	if h.get("main").Version != before || h.err("secrets.yaml") != "" || len(h.States()[0].Problems) != 0 {
		t.Errorf("the file's reading made another version: %+v", h.States())
	}
	must(t, h.v.Verify(ctx))
}

// What a file says otherwise within a rotation counts when that ends.
func TestTheFilesChangeCountsAfterARotation(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	_, err := h.rotator().Start(ctx, operator, "smtp", rotate.Request{Generate: 32})
	must(t, err)
	p.Sops(p.Dir, "set", "secrets.yaml", `["resources"]["smtp"]["extra"]`, `"postmaster-7"`)
	h.Settle(ctx)
	if _, has := h.get("smtp").Sealed["extra"]; has {
		t.Error("it counts at once")
	}
	_, err = h.rotator().Resume(ctx, operator, "smtp")
	must(t, err)
	if h.value("smtp", "extra") != "postmaster-7" || h.problem("resources.smtp") != "" {
		t.Errorf("%+v", h.States())
	}
}

// Where the file cannot take the new value, no rotation begins; where it cannot in the moment of the switch, nothing changes, and the next try ends it.
func TestAFileThatTakesNothingStopsARotation(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	second := filepath.Join(p.Dir, "second.yaml")
	must(t, os.Link(path, second))
	_, err := h.rotator().Start(ctx, operator, "smtp", rotate.Request{Generate: 32})
	wantCode(t, err, fault.NotSupported)
	if _, x, err := h.v.Rotation(ctx, "smtp"); err != nil || x != nil {
		t.Fatalf("it was begun: %v %v", x, err)
	}
	must(t, os.Remove(second))
	if n := len(h.recorded(audit.FileWrite)); n != 0 {
		t.Errorf("%d records of writes that never were", n)
	}
	_, x, err := h.BeginRotation(ctx, operator, "smtp", vault.NewRotation{Method: "guided", Secrets: one("value", "a-new-smtp-password"), Overlap: time.Hour})
	must(t, err)
	for _, step := range []vault.RotationStep{vault.RotationInstalled, vault.RotationProven} {
		x, err = h.AdvanceRotation(ctx, operator, x, step)
		must(t, err)
	}
	must(t, os.Link(path, second))
	_, _, err = h.SwitchRotation(ctx, operator, x)
	wantCode(t, err, fault.NotSupported)
	if h.value("smtp", "value") != "some-smtp-password" || h.has("secrets.yaml", smtpPath) != "some-smtp-password" {
		t.Error("something was switched")
	}
	must(t, os.Remove(second))
	// the file was written, and then the power went
	p.Sops(p.Dir, "set", "secrets.yaml", smtpPath, `"a-new-smtp-password"`)
	h.restart()
	if h.value("smtp", "value") != "some-smtp-password" {
		t.Error("the file's reading switched it")
	}
	_, err = h.rotator().Resume(ctx, operator, "smtp")
	must(t, err)
	if h.value("smtp", "value") != "a-new-smtp-password" || h.get("smtp").Version != 2 {
		t.Errorf("%+v", h.get("smtp"))
	}
	// and given up without a look
	_, err = h.rotator().Abandon(ctx, operator, "smtp")
	must(t, err)
	if h.value("smtp", "value") != "some-smtp-password" || h.has("secrets.yaml", smtpPath) != "some-smtp-password" || h.problem("resources.smtp") != "" {
		t.Error("the former value is not back")
	}
	must(t, h.v.Verify(ctx))
}
