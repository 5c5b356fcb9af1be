package egress

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Where the matcher of the vault could not be made there is a wiped one in its place: nothing of a reply passes then, instead of everything.
func TestAMatcherThatIsGoneLetsNothingThrough(t *testing.T) {
	set := redact.NewSet(redact.Options{})
	if err := set.Add("x", secret.FromString("a-canary-of-the-vault")); err != nil {
		t.Fatal(err)
	}
	gone := set.Compile()
	gone.Wipe()
	views := newGuard(func() []*redact.Matcher { return []*redact.Matcher{gone, redact.NewSet(redact.Options{}).Compile()} }).current()
	if len(views) != 1 {
		t.Fatalf("%d views", len(views))
	}
	if _, err := views[0].Mask([]byte("anything")); !errors.Is(err, redact.ErrWiped) {
		t.Fatal(err)
	}
}

// The margin holds the longest value in hex: a shorter one would let the longest be fetched in pieces (threat-model.md 58).
func TestAttack58_TheMarginHoldsTheLongestValue(t *testing.T) {
	if margin <= 2*kind.MaxField {
		t.Fatalf("%d bytes", margin)
	}
}

// A host that gives less around a range than was asked for has it refused: the margin is what a value is found by (threat-model.md 58).
func TestAttack58_AHostThatClipsTheMargin(t *testing.T) {
	for _, c := range []struct {
		asked, given string
		ok           bool
	}{
		{"bytes=200005-200006", "bytes 64837-335174/1000000", true},
		{"bytes=200005-200006", "bytes 200005-200010/1000000", false},
		{"bytes=200005-200006", "bytes 64838-335174/1000000", false},
		{"bytes=200005-200006", "bytes 64837-335173/1000000", false},
		{"bytes=5-6", "bytes 0-135174/1000000", true},
		{"bytes=5-6", "bytes 0-135173/1000000", false},
		{"bytes=5-6", "bytes 0-99/100", true},
		{"bytes=-10", "bytes 864822-999999/1000000", true},
		{"bytes=-10", "bytes 864823-999999/1000000", false},
		{"bytes=-10", "bytes 999990-999999/1000000", false},
	} {
		w, _ := widen([]string{c.asked})
		var first, last, total int64
		if _, err := fmt.Sscanf(c.given, "bytes %d-%d/%d", &first, &last, &total); err != nil {
			t.Fatal(err)
		}
		resp := &http.Response{StatusCode: http.StatusPartialContent, ContentLength: last - first + 1, Header: http.Header{"Content-Range": {c.given}}}
		if _, no := w.narrow(resp); (no == nil) != c.ok {
			t.Errorf("%s answered by %s: %v", c.asked, c.given, no)
		}
	}
}
