package deliver_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"testing"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The plan crosses from the daemon to a `zavhoz run` that may be of another version.
func TestGoldenPlan(t *testing.T) {
	const file = "../../testdata/formats/run_plan.golden"
	made := (&deliver.Plan{
		RunID: "run_aaaaaaaaaaaaaaaaaaaaaaaaaa",
		Items: []deliver.Item{
			{Name: "BOT_TOKEN", Handle: "bot", Value: secret.FromString("golden token")},
			{Name: "DEPLOY_KEY", Handle: "prod_vps_1", File: true, Value: secret.FromString("golden\nkey\n")},
		},
		Redact: []deliver.Labelled{{Label: "bot.token", Value: secret.FromString("golden token")}, {Label: "empty", Value: secret.New(nil)}},
	}).Encode()
	if *update {
		if err := os.WriteFile(file, []byte(hex.EncodeToString(made)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, want) {
		t.Errorf("written now:\n%x", made)
	}
	p, err := deliver.DecodePlan(want)
	if err != nil {
		t.Fatal(err)
	}
	if p.RunID != "run_aaaaaaaaaaaaaaaaaaaaaaaaaa" || len(p.Items) != 2 || len(p.Redact) != 2 || !p.Items[1].File || string(p.Items[1].Value.Reveal()) != "golden\nkey\n" {
		t.Errorf("read as %+v", p)
	}
	next := bytes.Clone(want)
	next[len("zvhplan")] = 2
	if _, err := deliver.DecodePlan(next); err == nil {
		t.Error("a format that is not known is read")
	}
}
