package run

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// noteTimeout is how long a service of a run waits for the audit log to take a record.
const noteTimeout = 10 * time.Second

// plainShape is of placeholders that nobody checks: letters and digits.
func plainShape(string) kind.Shape { return kind.Shape{} }

// valueOf gives what opens one field at the moment when a request needs it, or makes the short-lived credential that stands for it. Who calls it wipes what it
// gives.
func (e *Engine) valueOf(ctx context.Context, r vault.Resource, field, minted string) func() (secret.Secret, error) {
	if minted != "" {
		return func() (secret.Secret, error) { return e.o.Mint(ctx, e.present(r), minted) }
	}
	return func() (secret.Secret, error) {
		v, err := e.unseal(r, field)
		if err == nil && v.IsZero() {
			err = fault.Newf(fault.SecretMissing, "%s has no %s", r.Handle, field)
		}
		return v, err
	}
}

// method is the request's where it is one that APIs have, and else a word for the others: any text can stand there, cut from whatever the command held.
func method(ev egress.Event) string {
	if ev.Method == "" || slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "REPORT", "MKCOL", "COPY", "MOVE", "SEARCH", "QUERY"}, ev.Method) {
		return ev.Method
	}
	return "other"
}

// noteEgress records one request, tunnel or refusal of a run's proxy.
func (e *Engine) noteEgress(l *live, ev egress.Event) error {
	out := audit.Allowed
	switch ev.Decision {
	case egress.Denied:
		out = audit.Denied
	case egress.Failed:
		out = audit.Failed
	}
	d := map[string]string{"decision": string(ev.Decision), "port": strconv.Itoa(ev.Port)}
	for name, text := range map[string]string{"host": ev.Host, "method": method(ev), "path": ev.Path} {
		if text != "" {
			d[name] = l.mask.covered(l.ctx, text) // a command chose it, and the records are not sealed (threat-model.md 65)
		}
	}
	for name, n := range map[string]int64{"status": int64(ev.Status), "up": ev.Up, "down": ev.Down, "redactions": int64(ev.Redactions), "ms": ev.Duration.Milliseconds()} {
		if n != 0 {
			d[name] = strconv.FormatInt(n, 10)
		}
	}
	if ev.Hint != "" {
		d["stand_in"] = "body"
	}
	if ev.Credential {
		d["credential"] = "yes"
	}
	return e.note(l, audit.Event{Action: audit.EgressRequest, Outcome: out, Handle: ev.Resource, Code: string(ev.Code), Detail: d})
}
