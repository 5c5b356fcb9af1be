package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

func brought(handle string) string {
	return fmt.Sprintf(`{"kind":"generic","handle":%q,"project":"shop","secrets":{"value":%q}}`, handle, canary)
}

func TestImportOverTheAPI(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	got := c.ok("POST", "/import", "{}\n"+brought("one")+"\n"+brought("two")+"\n")
	var rep api.Imported
	must(t, json.Unmarshal([]byte(got.body), &rep))
	if len(rep.Items) != 2 || rep.Items[1].Outcome != "added" || fmt.Sprint(rep.Projects) != "[shop]" || strings.Contains(got.body, canary) {
		t.Errorf("%s", got.body)
	}
	c.refused(fault.HandleTaken, "POST", "/import", "{}\n"+brought("three")+"\n"+brought("one"))
	c.refused(fault.UnknownResource, "GET", "/resources/three", "")
}

// Lines are as strict as bodies: what is refused in the middle leaves nothing of what came before it, and its words hold no value.
func TestAttack67_ImportsAreStrictAndBounded(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	for body, code := range map[string]fault.Code{
		"":                                 fault.InvalidArgument,
		"{}":                               fault.InvalidArgument,
		"{}\n" + brought("x") + "\n[]":     fault.InvalidArgument,
		"{}\n" + brought("x") + "\n{":      fault.InvalidArgument,
		"{\"unknown\":1}\n" + brought("x"): fault.InvalidArgument,
		"{}\n{\"kind\":\"generic\"}":       fault.InvalidArgument,
		"{}\n" + brought("x") + "\n" + `{"kind":"generic","handle":"y","policy":{},"secrets":{"value":"` + canary + `"}}`: fault.InvalidArgument, // an import brings no rules
		"{}\n" + brought("x") + "\n" + `{"kind":"generic","handle":"y","secrets":{"value":"` + canary + "\xff" + `"}}`:    fault.InvalidArgument,
		"{}\n" + brought("x") + "\n" + `{"kind":"no_kind","handle":"y","secrets":{"value":"` + canary + `"}}`:             fault.UnknownKind,
		"{}\n" + brought("x") + "\n" + `{"kind":"generic","handle":"y","why":"` + strings.Repeat("a", 5<<20) + `"}`:       fault.TooLarge,
		"{}\n" + strings.Repeat(`{"kind":"generic","handle":"y"}`+"\n", vault.MaxImport+1):                                fault.TooLarge,
		`{"on_conflict":"merge"}` + "\n" + brought("x"):                                                                   fault.InvalidArgument,
	} {
		if got := c.refused(code, "POST", "/import", body); strings.Contains(got.body, canary) {
			t.Errorf("the refusal holds the value: %s", got.body)
		}
	}
	c.refused(fault.UnknownResource, "GET", "/resources/x", "")
	resp, err := c.http.Post("http://zavhoz/api/v1/import", "application/json", io.MultiReader(strings.NewReader("{}\n"))) // without its length
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a body of no length: %d", resp.StatusCode)
	}
}

// exporting stands for what encrypts.
type exporting struct{ asked []api.Export }

func (e *exporting) Export(_ context.Context, _ vault.Actor, in api.Export) (api.Exported, error) {
	e.asked = append(e.asked, in)
	return api.Exported{File: []byte("ciphertext"), Handles: in.Handles}, nil
}

// An export reveals: whoever it is for, it is for a person.
func TestAttack70_AnExportNeedsThePerson(t *testing.T) {
	e := &exporting{}
	h, _ := guardedHouse(t, func(o *web.Options) { o.Export = e })
	shell, person := h.sit(2), h.sit(1)
	person.ok("POST", "/presence", right)
	body := `{"handles":["bot"],"to":["` + ownRecipient + `"]}`
	shell.refused(fault.PresenceRequired, "POST", "/export", body)
	if len(e.asked) != 0 {
		t.Fatal("something was opened")
	}
	var out api.Exported
	must(t, json.Unmarshal([]byte(person.ok("POST", "/export", body).body), &out))
	if string(out.File) != "ciphertext" || len(e.asked) != 1 {
		t.Errorf("%+v", out)
	}
}
