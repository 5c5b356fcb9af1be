package run

import (
	"slices"
	"strconv"

	"github.com/zavhoz/zavhoz/run/egress"
)

// Denial is one refusal of a run's proxy, told with the run's result: many clients throw the proxy's own words away (curl shows "403" of a CONNECT and no
// more), and a model that does not know why tries the same again.
type Denial struct {
	Where string // "POST api.acme.example/v1/keys", or "example.org:8443"; "" of a command that holds values: it could be one
	Code  string
	Count int
}

// maxDenials is how many different ones are kept of a run.
const maxDenials = 16

// noticed keeps what was refused, and what is to be known of what was not. What it tells passes the run's redactor first, as everything that a command chose.
func (l *live) noticed(e egress.Event) {
	if e.Decision != egress.Denied && e.Hint == "" {
		return
	}
	where := l.told(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.guarded != nil {
		where = ""
	}
	if e.Hint != "" {
		l.hinted(where, e.Hint)
	}
	if e.Decision != egress.Denied {
		return
	}
	d := Denial{Where: where, Code: string(e.Code)}
	if i := slices.IndexFunc(l.refusals, func(o Denial) bool { return o.Where == d.Where && o.Code == d.Code }); i >= 0 {
		l.refusals[i].Count++
	} else if d.Count = 1; len(l.refusals) < maxDenials {
		l.refusals = append(l.refusals, d)
	}
}

// Hint is what a command's author should know of requests that were let through: a stand-in that went up in a body, and where the value would have gone.
type Hint struct {
	Where string // as of a Denial
	Text  string // our own words
	Count int
}

// hinted runs under mu.
func (l *live) hinted(where, text string) {
	if i := slices.IndexFunc(l.hints, func(o Hint) bool { return o.Where == where && o.Text == text }); i >= 0 {
		l.hints[i].Count++
	} else if len(l.hints) < maxDenials {
		l.hints = append(l.hints, Hint{where, text, 1})
	}
}

// told says which request it was.
func (l *live) told(e egress.Event) string {
	where := e.Host
	if e.Port != 443 && e.Port != 0 && where != "" {
		where += ":" + strconv.Itoa(e.Port)
	}
	if m := method(e); m != "" && m != "CONNECT" {
		where = m + " " + where + e.Path
	}
	return l.mask.told(l.ctx, where)
}
