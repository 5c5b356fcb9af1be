package mcp_test

import (
	"net/http"
	"strings"
	"testing"
)

// A web page calls the server on localhost: by a name that resolves here (rebinding), from its own origin, as a request that needs no preflight, with one that asks.
// Whatever it sends is refused before it is read, also with a token, and no reply lets an origin in. The uid plays no part.
func TestAttack53_APageCallsTheServer(t *testing.T) {
	w := newWeb(t)
	msg, ok := modernCall("1", "who")
	port := w.url[strings.LastIndexByte(w.url, ':'):]
	for name, headers := range map[string][]string{
		"rebinding":                {"Host", "attacker.example" + port},
		"rebinding, same origin":   {"Host", "attacker.example" + port, "Origin", "http://attacker.example" + port},
		"its own origin":           {"Origin", "https://attacker.example"},
		"no origin, cross-site":    {"Sec-Fetch-Site", "cross-site"},
		"an opaque origin":         {"Origin", "null"},
		"a simple request":         {"Content-Type", "text/plain"},
		"a form":                   {"Content-Type", "multipart/form-data; boundary=x"},
		"no token":                 {"Authorization", ""},
		"a cookie for a token":     {"Authorization", "", "Cookie", "token=" + tokenA},
		"a private network's page": {"Origin", "http://192.168.1.1", "Access-Control-Request-Private-Network", "true"},
	} {
		for _, path := range []string{"/mcp", "/message"} {
			res, body := w.post(path, tokenA, msg, append(ok[:len(ok):len(ok)], headers...)...)
			if res.StatusCode < 400 || res.StatusCode >= 500 || strings.Contains(string(body), `"result"`) {
				t.Errorf("%s at %s: %d %s", name, path, res.StatusCode, body)
			}
			closedToOrigins(t, name, res)
		}
	}
	req, err := http.NewRequest(http.MethodOptions, w.url+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, _ := w.do(req, "Origin", "https://attacker.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, content-type")
	if res.StatusCode < 400 {
		t.Errorf("a preflight: %d", res.StatusCode)
	}
	closedToOrigins(t, "preflight", res)
	res, body := w.post("/mcp", tokenA, msg, ok...)
	if res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"result"`) {
		t.Errorf("a client: %d %s", res.StatusCode, body)
	}
	closedToOrigins(t, "a client", res)
}

func closedToOrigins(t *testing.T, name string, res *http.Response) {
	t.Helper()
	for h := range res.Header {
		if strings.HasPrefix(h, "Access-Control-Allow") {
			t.Errorf("%s: %s: %s", name, h, res.Header.Get(h))
		}
	}
}
