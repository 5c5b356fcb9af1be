package egress_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
)

// TestAttack37_AValueAsTheNameOfAHeader: names come in small letters over HTTP/2, in those of the library over HTTP/1, and are no less the value.
func TestAttack37_AValueAsTheNameOfAHeader(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "T-"+truth)
		w.Header()["X-"+truth] = []string{"1"}
		w.Header()[strings.ToUpper(truth)] = []string{"2"}
		w.Header().Set("X-Kept", "3")
		w.Header()["T-"+truth] = []string{"4"}
		_, _ = w.Write([]byte("ok"))
		w.Header().Set(http.TrailerPrefix+"T-"+truth, "5")
		w.Header().Set(http.TrailerPrefix+"Z-"+truth, "6")
	})
	for _, known := range []bool{true, false} {
		o := egress.Options{Resources: []egress.Resource{u.resource()}}
		if known {
			o.Matcher = matcher(t, truth)
		}
		r := newRig(t, u.port, o)
		r.eachWay(t, func(t *testing.T, c *http.Client) {
			resp, b := get(t, c, "GET", u.url("/x"), "Authorization", "Bearer "+standIn)
			if all := strings.ToLower(fmt.Sprint(resp.Header, resp.Trailer)); strings.Contains(all, strings.ToLower(truth)) || b != "ok" || resp.Header.Get("X-Kept") != "3" {
				t.Errorf("known=%t: %d %s %q", known, resp.StatusCode, all, b)
			}
		})
	}
}
