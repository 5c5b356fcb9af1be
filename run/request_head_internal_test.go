package run

import "testing"

// An implicit grant carries its token in the fragment of a redirect, a code grant its code in the query.
func TestALocationIsToldWithoutQueryAndFragment(t *testing.T) {
	for value, want := range map[string]string{
		"https://a.test/b": "https://a.test/b", "https://a.test/b?code=s": "https://a.test/b?…", "https://a.test/b#access_token=s": "https://a.test/b#…", "/b?x=1#access_token=s": "/b?…", "/b#t=s?x": "/b#…", "#s": "#…",
	} {
		if got := toldOfLocation(value); got != want {
			t.Errorf("%s: %s", value, got)
		}
	}
}
