package redact

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// jumble glues pieces of secrets, of their surroundings and of text, so that rules meet, overlap and break off.
func jumble(r *rand.Rand, all []example) string {
	var b strings.Builder
	for range 1 + r.IntN(12) {
		x := all[r.IntN(len(all))]
		switch r.IntN(8) {
		case 0:
			b.WriteString(x.text())
		case 1:
			b.WriteString(x.secret)
		case 2:
			b.WriteString(x.text()[r.IntN(len(x.text())):])
		case 3:
			b.WriteString(x.text()[:r.IntN(len(x.text()))])
		case 4:
			b.WriteString([]string{" ", "\n", "\r\n", ":", "=", "\"", "@", "://", "-----", "."}[r.IntN(10)])
		case 5:
			b.WriteString(of(b64s, r.IntN(100)))
		case 6:
			b.WriteString(x.before)
		default:
			b.WriteString("some words, and more of them\n")
		}
	}
	return b.String()
}

// checkSplits holds the output for any split to that of the whole text.
func checkSplits(t *testing.T, r *rand.Rand, text string) {
	t.Helper()
	o := ForeignOptions{Exempt: []string{"ghp_" + of(letters, 36), "123456789:AA" + of(letters, 33), "SG." + of(letters, 66)}}
	want, report := foreign(t, o, text, atOnce)
	for _, most := range []int{1, 3, 17, 200} {
		got, other := foreign(t, o, text, func() int { return 1 + r.IntN(most) })
		if got != want || other.Redactions != report.Redactions {
			t.Fatalf("pieces of %d: %q\nat once: %q\nof %q", most, got, want, text)
		}
	}
	if again, _ := foreign(t, o, want, atOnce); strings.Count(again, "[redacted:") < strings.Count(want, "[redacted:") {
		t.Fatalf("a marker was lost: %q became %q", want, again)
	}
}

func TestForeignAnySplit(t *testing.T) {
	all := examples()
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 7))
		checkSplits(t, r, jumble(r, all))
	}
}

func FuzzForeignSplits(f *testing.F) {
	for _, x := range examples() {
		f.Add(x.text(), uint64(1))
	}
	f.Add("-----BEGIN RSA PRIVATE KEY-----\n"+of(b64s, 80)+"-----END", uint64(2))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		checkSplits(t, rand.New(rand.NewPCG(seed, 1)), text)
	})
}
