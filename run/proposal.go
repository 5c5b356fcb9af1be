package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Bounds of what a person is shown of a call.
const (
	shownElement  = 1 << 10  // bytes of one element, variable or header
	shownText     = 4 << 10  // of what goes in on stdin, or as a body
	shownTotal    = 24 << 10 // of all elements, variables and headers together; behind it each is cut to shownLeast
	shownLeast    = 64
	shownElements = 64
)

// asking tells whether a person is to approve a call with these uses.
func asking(uses []vault.Use) bool {
	return slices.ContainsFunc(uses, func(u vault.Use) bool { return u.Asks != "" })
}

// propose gives what a person is to approve of a run: the call to the byte, to bind their word to, and what they are shown of it. nil: they are not asked.
func (e *Engine) propose(ctx context.Context, p *plan, r Request) (*vault.Proposal, error) {
	if !asking(p.uses) {
		return nil, nil
	}
	w, done, err := e.shower(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	folders := make([]string, len(p.workdirs))
	for i, d := range p.workdirs {
		folders[i] = string(d.Mode) + " " + d.Path
	}
	call, err := json.Marshal(struct {
		Sort               string
		Argv, Full         [][]byte
		Pin                string
		Cwd                []byte
		Folders            [][]byte
		Names, Values      [][]byte
		Stdin              [sha256.Size]byte
		TimeoutNS, Written int64
		Capture            *capture.Spec
	}{
		"run", exact(r.Command), exact(p.argv), p.pin.Name, []byte(r.Cwd), exact(folders), exact(slices.Sorted(maps.Keys(r.Env))), exact(valuesOf(r.Env)),
		sha256.Sum256(r.Stdin), int64(r.Timeout), int64(len(r.Stdin)), r.Capture,
	})
	if err != nil {
		return nil, err
	}
	shown := vault.ApprovalCall{
		Sort: "run", Argv: w.argv(r.Command), Pin: p.pin.Name, Cwd: w.exact(r.Cwd), Env: w.named(r.Env), Stdin: w.text(r.Stdin), Capture: w.capture(r.Capture),
		TimeoutS: shownSeconds(r.Timeout), Background: r.Background,
	}
	for _, f := range folders {
		shown.Folders = append(shown.Folders, w.exact(f))
	}
	w.reason(&shown, p.uses)
	return &vault.Proposal{Call: call, Shown: shown}, nil
}

// proposeRequest is propose for a request that zavhoz itself makes.
func (e *Engine) proposeRequest(ctx context.Context, q *errand, r HTTPRequest) (*vault.Proposal, error) {
	uses := []vault.Use{q.use}
	if !asking(uses) {
		return nil, nil
	}
	w, done, err := e.shower(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	call, err := json.Marshal(struct {
		Sort, Method       string
		URL                []byte
		Names, Values      [][]byte
		Body               [sha256.Size]byte
		TimeoutNS, Written int64
		Capture            *capture.Spec
	}{
		"request", r.Method, []byte(q.to.url()), exact(slices.Sorted(maps.Keys(r.Headers))), exact(valuesOf(r.Headers)), sha256.Sum256(r.Body), int64(r.Timeout), int64(len(r.Body)), r.Capture,
	})
	if err != nil {
		return nil, err
	}
	shown := vault.ApprovalCall{
		Sort: "request", Method: r.Method, URL: w.exact(q.to.url()), Headers: w.named(r.Headers), Body: w.text(r.Body), Capture: w.capture(r.Capture), TimeoutS: shownSeconds(r.Timeout),
	}
	w.reason(&shown, uses)
	return &vault.Proposal{Call: call, Shown: shown}, nil
}

// exact keeps texts as they are: JSON would make all that is not UTF-8 the same, and one call could run by the word for another.
func exact(texts []string) [][]byte {
	out := make([][]byte, len(texts))
	for i, t := range texts {
		out[i] = []byte(t)
	}
	return out
}

// valuesOf gives the values in order of their names.
func valuesOf(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

func shownSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// shower makes what a person sees of a call: first masked, then made harmless, then cut.
type shower struct {
	m    *redact.Matcher // nil: the vault has no masks
	left int             // of shownTotal
}

func (e *Engine) shower(ctx context.Context) (w *shower, done func(), err error) {
	w = &shower{left: shownTotal}
	if e.masks == nil {
		return w, func() {}, nil
	}
	s, err := e.masks.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	w.m = s.m
	return w, func() { e.masks.release(s) }, nil
}

func (w *shower) mask(b []byte) []byte {
	if w.m == nil {
		return b
	}
	out, _ := w.m.Mask(b)
	return out
}

// ascii writes all but printable ASCII as an escape, and a backslash as two: no letter looks like another, and nothing moves, hides or reorders.
func ascii(b []byte) string {
	q := strconv.QuoteToASCII(string(b))
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// shorten cuts what is longer than n bytes, in sight: ⟨ and ⟩ cannot stand in an escaped text.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	tail := n / 8
	return text[:n-tail] + fmt.Sprintf("⟨%d bytes are not shown; sha256 of all as shown: %s⟩", len(text)-n, hex.EncodeToString(sum[:])) + text[len(text)-tail:]
}

// exact is what a machine takes to the letter: a word of the command, a path, a value.
func (w *shower) exact(s string) string {
	text := shorten(ascii(w.mask([]byte(s))), min(shownElement, max(shownLeast, w.left)))
	w.left -= len(text)
	return text
}

// words are for people: letters of any script stay.
func (w *shower) words(s string) string {
	const most = 200 // characters
	text := []rune(strings.NewReplacer("\n", " ", "\t", " ").Replace(string(redact.Clean(w.mask([]byte(s))))))
	if len(text) > most {
		text = append(text[:most:most], '…')
	}
	return string(text)
}

func (w *shower) argv(argv []string) []string {
	out := make([]string, 0, min(len(argv), shownElements+1))
	for _, a := range argv[:min(len(argv), shownElements)] {
		out = append(out, w.exact(a))
	}
	if rest := argv[len(out):]; len(rest) > 0 {
		sum := sha256.Sum256(w.mask([]byte(strings.Join(rest, "\x00"))))
		out = append(out, fmt.Sprintf("⟨%d more elements are not shown; sha256: %s⟩", len(rest), hex.EncodeToString(sum[:])))
	}
	return out
}

func (w *shower) named(m map[string]string) map[string]string {
	var out map[string]string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if out == nil {
			out = map[string]string{}
		}
		out[w.exact(name)] = w.exact(m[name])
	}
	return out
}

func (w *shower) text(b []byte) *vault.ApprovalText {
	if len(b) == 0 {
		return nil
	}
	masked := w.mask(b)
	sum := sha256.Sum256(masked)
	return &vault.ApprovalText{Bytes: len(b), SHA256: hex.EncodeToString(sum[:]), Text: shorten(ascii(masked), shownText)}
}

func (w *shower) capture(s *capture.Spec) string {
	if s == nil {
		return ""
	}
	text := s.Kind + " " + s.Handle
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		text += " " + name + "=" + s.Fields[name].JSONPointer + s.Fields[name].Pattern
	}
	text = w.exact(strings.TrimSpace(text))
	if s.Purpose != "" { // it stays with the new resource; behind all that a machine takes to the letter, so that it ends the line
		text += " purpose: " + w.words(s.Purpose)
	}
	return text
}

// reason gives what the agent said the resources are for.
func (w *shower) reason(call *vault.ApprovalCall, uses []vault.Use) {
	var purposes, contexts []string
	for _, u := range uses {
		if l := u.Lease; l.ID != "" {
			purposes = append(purposes, w.words(l.Purpose))
			if l.Context != "" {
				contexts = append(contexts, w.words(l.Context))
			}
		}
	}
	call.Purpose, call.Context = strings.Join(slices.Compact(purposes), "; "), strings.Join(slices.Compact(contexts), "; ")
}

// turnedDown puts a person's words about a denial into its sentence: masked, for a model reads them, and without the names of other resources.
func (e *Engine) turnedDown(ctx context.Context, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.ApprovalDenied {
		return err
	}
	told := fault.New(f.Code, f.Message, f.Next)
	for k, v := range f.Details {
		if k != "why" {
			told = told.With(k, v)
		}
	}
	why, _ := f.Details["why"].(string)
	if why = e.Masked(ctx, why); why != "" {
		told.Message += ": " + why
	}
	return told
}

// Masked is a person's text as a model may read it: secrets masked, without the names of other resources, and control characters made harmless. "" where that cannot be done.
func (e *Engine) Masked(ctx context.Context, text string) string {
	w, done, err := e.shower(ctx)
	if err != nil || text == "" {
		return ""
	}
	defer done()
	b := []byte(text)
	if w.m != nil {
		b, _ = w.m.MaskKnown(b, func(string) bool { return false })
	}
	return string(redact.Clean(b))
}
