package importer_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Tokens that the Python library cryptography made under goldenKey, and the example of the Fernet specification.
const (
	goldenKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherKey  = "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg="
	specKey   = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
	specToken = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
)

var (
	goldenTokens = []string{
		"gAAAAABlU_EAkVYzWTpr0bq_6Ju-QF4KneAHp-a1rV48XP9ksIPtVyaoBB_UYHbh_H-wyb7JE-8k62CEp8VDPtMjqlAn7pJg88gcJemYl2DjLR6kxNABtiM=",
		"gAAAAABlU_EB8LUSCKMtxKsEUMx8y0_bYS4uWOFpMDINXe119kz2_DuCnCzokCYx3QQTd9RtQ0TLu2OF-FSrnIN2M7c_718RmA==",
		"gAAAAABlU_ECIefAhq3LDuiQYMEkc6Q0PVonMzWuHSLlYNudFGOQH18vbbgf60B2R2MLtAp0Rf51BRw6sokRpdtZzXNMbI3F6g-qpc9ttQLRugcHuT2j9cE=",
		"gAAAAABlU_EDqSOuZ-m6o5QpqEyD-OJvm6bbmExFybQnI4i4GsdvKqSEoJXcquEOLPq9Zry-OvbETzLyzBn6lkEpX6OCJTxLTg==",
	}
	goldenValues = []string{"smtp-password-7f3a", "", "0123456789abcdef", "пароль"}
)

func keys(t testing.TB, text string) importer.FernetKeys {
	t.Helper()
	k, err := importer.ParseFernetKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestFernetOpens(t *testing.T) {
	k := keys(t, otherKey+"\n"+goldenKey+"\n")
	for i, token := range goldenTokens {
		for _, form := range []string{token, strings.TrimRight(token, "=")} {
			s, err := k.Open([]byte(form))
			if err != nil || string(s.Reveal()) != goldenValues[i] {
				t.Errorf("token %d: %v", i, err)
			}
		}
	}
	s, err := keys(t, specKey).Open([]byte(specToken))
	if err != nil || string(s.Reveal()) != "hello" {
		t.Errorf("the specification's token: %v", err)
	}
}

// The specification's own token says 499162800.
func TestFernetTime(t *testing.T) {
	at := time.Unix(1700000000, 999)
	token, err := keys(t, goldenKey).Seal(secret.FromString("x"), at)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int64{specToken: 499162800, token: at.Unix(), strings.TrimRight(goldenTokens[1], "="): 1700000001} {
		if got := importer.FernetTime([]byte(text)).Unix(); got != want {
			t.Errorf("%d, not %d", got, want)
		}
	}
	for _, text := range []string{"", "gAAAAABlU_E", "hAAAAABlU_ECIefA", "????????????", token[1:]} {
		if got := importer.FernetTime([]byte(text)); !got.IsZero() {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Every bit of a token counts.
func TestFernetChanged(t *testing.T) {
	k := keys(t, goldenKey)
	raw, err := base64.URLEncoding.DecodeString(goldenTokens[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if _, err := k.Open([]byte(base64.URLEncoding.EncodeToString(raw))); err == nil {
			t.Errorf("a token with byte %d changed opens", i)
		}
		raw[i] ^= 1
	}
	_, err = keys(t, otherKey).Open([]byte(goldenTokens[0]))
	wantCode(t, err, fault.WrongIdentity)
	for _, bad := range []string{"", "gAAAA", goldenTokens[0][:80], goldenTokens[0] + "AAAA", "!" + goldenTokens[0]} {
		if _, err := k.Open([]byte(bad)); err == nil {
			t.Errorf("%q opens", bad)
		}
	}
	for _, bad := range []string{"", "short", goldenKey + "x", goldenKey[:43] + "!", strings.Repeat(goldenKey+"\n", 17)} {
		_, err := importer.ParseFernetKeys([]byte(bad))
		wantCode(t, err, fault.InvalidArgument)
	}
}

// The forms of the earlier system's exports.
func TestFernetExports(t *testing.T) {
	a, b := goldenTokens[0], goldenTokens[2]
	for _, c := range []struct{ file, want string }{
		{fmt.Sprintf("SMTP_PASSWORD=%s\nPORT=25\n", a), `SMTP_PASSWORD value="smtp-password-7f3a"`},
		{fmt.Sprintf(`{"A":%q,"clear":"x"}`, a), `A value="smtp-password-7f3a"`},
		{fmt.Sprintf(`[{"slug":"shop","config":{"secrets":{"A":%q,"B":%q},"env_hints":{"A":"of the mail server"}}}]`, a, b), `A value="smtp-password-7f3a"` + "\n" + `B value="0123456789abcdef"`},
		{fmt.Sprintf(`{"servers":[{"handle":"Box 1","public_ip":"203.0.113.9","ssh_user":"root","ssh_key_enc":%q}],"api_keys":[{"service":"openai","key_enc":%q},{"service":"acme","key_enc":%q}]}`, a, b, b),
			`server:box_1 host="203.0.113.9" ssh_key="smtp-password-7f3a"` + "\n" + `OPENAI_API_KEY value="0123456789abcdef"` + "\n" + `ACME_KEY value="0123456789abcdef"`},
	} {
		items, err := importer.ReadFernet([]byte(c.file), keys(t, goldenKey))
		if err != nil || said(items) != c.want {
			t.Errorf("%s: %v\n%s", c.file, err, said(items))
		}
	}
	items, err := importer.ReadFernet([]byte(fmt.Sprintf(`{"slug":"My Shop","config":{"secrets":{"A":%q},"env_hints":{"A":"of the mail server"}}}`, a)), keys(t, goldenKey))
	if err != nil || items[0].Project != "my-shop" || items[0].Labels["hint"] != "of the mail server" {
		t.Errorf("%v %v", items, err)
	}
	_, err = importer.ReadFernet([]byte(`{"A":"clear"}`), keys(t, goldenKey))
	wantCode(t, err, fault.InvalidArgument)
	_, err = importer.ReadFernet([]byte(fmt.Sprintf(`{"A":%q}`, a)), keys(t, otherKey))
	wantCode(t, err, fault.WrongIdentity)
	_, err = importer.Read([]byte(a), importer.Options{Format: importer.Fernet})
	wantCode(t, err, fault.SecretMissing)
}
