package importer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/importer"
)

// The layout that docs/sops.md shows is one that is read, every entry of it: people copy it.
func TestTheLayoutOfTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/sops.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "## The layout")
	_, rest, _ = strings.Cut(rest, "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil || !ok {
		t.Fatal("no example, or no key", err)
	}
	file := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	example = strings.Replace(example, "THE-PEM-FILE ", "|\n      "+strings.ReplaceAll(strings.TrimSpace(string(file)), "\n", "\n      ")+"\n#", 1)
	items, err := importer.Read([]byte(example), importer.Options{Format: importer.YAML})
	if err != nil {
		t.Fatal(err)
	}
	drafts, err := importer.Plan(items, importer.Naming{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range drafts {
		if d.Problem != nil || d.Out != "" || len(d.Notes) > 0 {
			t.Errorf("%s: %v %s %q", d.Where, d.Problem, d.Out, d.Notes)
		}
		got = append(got, d.Kind+" "+d.Handle+" "+d.Project)
		d.Wipe()
	}
	want := []string{"telegram_bot weather_bot default", "server prod_vps_1 shop", "api_key openai_main default", "api_key crm default", "domain example.com default",
		"github_app deploy_app default", "database shop_db default", "generic smtp default", "generic shop_session_secret shop"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whoever moves a .env learns where a value is found that its kind names in its own way.
func TestANameThatItsKindChangesIsSaid(t *testing.T) {
	const token = "1234567890:the-token-that-BotFather-gave-you"
	for name, want := range map[string]string{"TELEGRAM_TOKEN": "TELEGRAM_BOT_TOKEN", "TELEGRAM_BOT_TOKEN": ""} {
		items, err := importer.ReadDotenv([]byte(name + "=" + token + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		drafts, err := importer.Plan(items, importer.Naming{})
		if err != nil || len(drafts) != 1 || drafts[0].Kind != "telegram_bot" {
			t.Fatal(drafts, err)
		}
		if said := strings.Join(drafts[0].Notes, ""); strings.Contains(said, "commands find it as "+want) != (want != "") || want == "" && said != "" {
			t.Errorf("%s: %q", name, said)
		}
		drafts[0].Wipe()
	}
}
