package run

import (
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/run/egress"
)

// Denial is one refusal of a run's proxy, told with the run's result: many clients throw the proxy's own words away (curl shows "403" of a CONNECT and no
// more), and a model that does not know why tries the same again.
type Denial struct {
	Where string // "POST api.acme.example/v1/keys", or "example.org:8443"; "" of a command that holds values: it could be one
	Code  string
	Count int // 1 where Where is ""
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
	d := Denial{where, string(e.Code), 1}
	if i := slices.IndexFunc(l.refusals, func(o Denial) bool { return o.Where == d.Where && o.Code == d.Code }); i < 0 && len(l.refusals) < maxDenials {
		l.refusals = append(l.refusals, d)
	} else if i >= 0 && l.guarded == nil { // a count is a number that the command chose
		l.refusals[i].Count++
	}
	if l.guarded != nil {
		l.refusals = uncounted(l.refusals)
	}
}

// uncounted leaves of denials only which codes there were: how many there were, of how many places and in what order is as much the command's word as a name is, and
// would carry a value out of a run whose output is not shown (threat-model.md 75).
func uncounted(all []Denial) []Denial {
	out := make([]Denial, len(all))
	for i, d := range all {
		out[i] = Denial{"", d.Code, 1}
	}
	slices.SortFunc(out, func(a, b Denial) int { return strings.Compare(a.Code, b.Code) })
	return slices.Compact(out)
}

// unhinted does the same to hints.
func unhinted(all []Hint) []Hint {
	out := make([]Hint, len(all))
	for i, h := range all {
		out[i] = Hint{"", h.Text, 1}
	}
	slices.SortFunc(out, func(a, b Hint) int { return strings.Compare(a.Text, b.Text) })
	return slices.Compact(out)
}

// Hint is what a command's author should know of requests that were let through: a stand-in that went up in a body, and where the value would have gone.
type Hint struct {
	Where string // as of a Denial
	Text  string // our own words
	Count int
}

// hinted runs under mu.
func (l *live) hinted(where, text string) {
	if i := slices.IndexFunc(l.hints, func(o Hint) bool { return o.Where == where && o.Text == text }); i < 0 && len(l.hints) < maxDenials {
		l.hints = append(l.hints, Hint{where, text, 1})
	} else if i >= 0 && l.guarded == nil {
		l.hints[i].Count++
	}
	if l.guarded != nil {
		l.hints = unhinted(l.hints)
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
