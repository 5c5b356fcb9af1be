package canary_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/cmd/internal/canary"
)

// A hunter that finds nothing would make every other test here worthless: it must find each encoding, at every offset, and nothing else.
func TestTheHunterFinds(t *testing.T) {
	const secret = "q7Zr2KxW9mTf4LpV8sNc"
	h := canary.New()
	h.Plant("s", secret)
	for _, pad := range []string{"", "x", "xy", "xyz"} {
		plain := pad + secret + "tail"
		j, _ := json.Marshal(plain)
		for name, form := range map[string]string{
			"raw": plain, "hex": hex.EncodeToString([]byte(plain)), "b64": base64.StdEncoding.EncodeToString([]byte(plain)),
			"b64url": base64.RawURLEncoding.EncodeToString([]byte(plain)), "url": url.QueryEscape(plain), "json": string(j),
			"part": pad + secret[5:13], "base64 part": base64.StdEncoding.EncodeToString([]byte(pad + secret[4:16])), "upper": strings.ToUpper(plain),
		} {
			if len(h.Find([]byte("before "+form+" after"))) == 0 {
				t.Errorf("%s with %d bytes before is not found", name, len(pad))
			}
		}
	}
	if f := h.Find([]byte("q7Zr2Kx and Zr2KxW9 are seven bytes each; " + strings.Repeat("lorem ipsum ", 1000))); len(f) > 0 {
		t.Errorf("found what is not there: %v", f)
	}
}
