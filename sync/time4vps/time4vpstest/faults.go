package time4vpstest

import (
	"fmt"
	"net/http"
	"strings"
)

// Reply answers a request in place of the API.
type Reply func(s *Sim, w http.ResponseWriter, r *http.Request)

// Rule makes requests fail, or answer otherwise.
type Rule struct {
	Method string // "": any
	Prefix string // of the path below /api, as in "/server/300001"; "": any
	Exact  bool   // the whole path
	Skip   int    // requests to let through first
	Times  int    // how many requests; 0: until Clear
	Reply  Reply
	used   int
}

// Inject adds a rule. Rules that came earlier go first.
func (s *Sim) Inject(r Rule) { s.change(func() { s.rules = append(s.rules, &r) }) }

// Fail makes every request answer with reply until Clear.
func (s *Sim) Fail(reply Reply) { s.Inject(Rule{Reply: reply}) }

// Clear takes every rule away.
func (s *Sim) Clear() { s.change(func() { s.rules = nil }) }

// rule finds the reply of the first rule that holds. The caller has the lock.
func (s *Sim) rule(method, path string) Reply {
	for _, r := range s.rules {
		if r.Method != "" && r.Method != method || !strings.HasPrefix(path, r.Prefix) || r.Exact && path != r.Prefix {
			continue
		}
		if r.used++; r.used <= r.Skip || r.Times > 0 && r.used > r.Skip+r.Times {
			continue
		}
		return r.Reply
	}
	return nil
}

// WrongLogin is what the provider says to a bad username or password.
func WrongLogin(_ *Sim, w http.ResponseWriter, _ *http.Request) {
	reply(w, 401, []byte(`{"error":["wronglogin","unauthorized"]}`))
}

// IPNotAllowed is what it says to an address that is not on the account's allow-list.
func IPNotAllowed(_ *Sim, w http.ResponseWriter, _ *http.Request) {
	reply(w, 401, []byte(`{"error":["ipnotallowed","unauthorized"]}`))
}

// Throttle asks to wait n seconds, with the 401 that it has in common with the two above.
func Throttle(n int) Reply {
	return Raw(401, fmt.Sprintf(`{"error":[["wait_x_between_action",%d],"unauthorized"]}`, n))
}

// Raw answers with any status and body.
func Raw(status int, body string) Reply {
	return func(_ *Sim, w http.ResponseWriter, _ *http.Request) { reply(w, status, []byte(body)) }
}

// Outage is a web server's page in place of the API. It quotes the request's credentials, as bad error pages do.
func Outage(status int) Reply {
	return func(_ *Sim, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<html><h1>%d</h1>%s<pre>%s</pre></html>", status, strings.Repeat("x", 4000), r.Header.Get("Authorization"))
	}
}

// Hang never answers.
func Hang(s *Sim, _ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
}

// Drip sends headers and the beginning of a body, then hangs.
func Drip(s *Sim, w http.ResponseWriter, r *http.Request) {
	reply(w, 200, []byte(`[{"server_id":`))
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	Hang(s, w, r)
}

// Reset closes the connection without a word.
func Reset(*Sim, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Cut promises a whole body and closes the connection in the middle.
func Cut(s *Sim, w http.ResponseWriter, r *http.Request) {
	body := []byte(`[{"server_id":300001,"ip":"198.18.0.1","domain":"host`)
	w.Header().Set("Content-Length", fmt.Sprint(10*len(body)))
	_, _ = w.Write(body)
	Reset(s, w, r)
}

// Huge sends a valid list of n bytes and more.
func Huge(n int) Reply {
	return func(_ *Sim, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("["))
		for range n / 1024 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1023) + "\n")); err != nil {
				return
			}
		}
		_, _ = w.Write([]byte("]"))
	}
}

// Redirect sends the client elsewhere.
func Redirect(status int, to string) Reply {
	return func(_ *Sim, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, status) }
}
