package vault

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// IntakeState says what became of a request for a secret. Names are frozen.
type IntakeState string

// The states of an intake.
const (
	IntakeWaiting IntakeState = "waiting"
	IntakeGiven   IntakeState = "given"
	IntakeDenied  IntakeState = "denied"
	IntakeExpired IntakeState = "expired" // never stored: what waits and is past its time
)

// Bounds of intakes.
const (
	IntakeTTL  = 24 * time.Hour // how long one waits, and how long a denial answers the same request
	MaxWaiting = 20             // that one agent, or one operator's token, may have waiting
)

// Intake is a request that a person give a secret: the value of a project's secret (Key), or a resource (Kind and Handle). It holds no value, and who gives one is never
// who asked: an agent has its id, and the code that opens it is a person's.
type Intake struct {
	Format    int         `json:"format"` // 1
	ID        string      `json:"id"`     // itk_…
	Project   string      `json:"project"`
	Key       string      `json:"key,omitempty"`
	Kind      string      `json:"kind,omitempty"`
	Handle    string      `json:"handle,omitempty"` // that was asked for; the person may choose another
	Reason    string      `json:"reason"`
	Agent     string      `json:"agent,omitempty"` // agt_…; "" where a person made it
	By        string      `json:"by"`              // the agent's name, or who made it
	Context   string      `json:"context,omitempty"`
	State     IntakeState `json:"state"`
	Code      string      `json:"code,omitempty"`  // a digest; "" while nobody has one
	Tries     int         `json:"tries,omitempty"` // of codes that were not it
	CreatedAt time.Time   `json:"created_at"`
	ExpiresAt time.Time   `json:"expires_at"`
	EndedAt   time.Time   `json:"ended_at,omitzero"`
	EndedBy   string      `json:"ended_by,omitempty"`
	Why       string      `json:"why,omitempty"`
	Gave      string      `json:"gave,omitempty"` // the handle that came of it, or the name of the secret
	Fresh     bool        `json:"-"`              // made by this very call of RequestSecret; never stored
}

// SecretRequest is what RequestSecret takes: either Project and Key, or Kind and Handle.
type SecretRequest struct {
	Project string // slug or id; of a resource "" means the default one
	Key     string
	Kind    string
	Handle  string
	Reason  string
}

func noIntake() *fault.Error {
	return fault.New(fault.UnknownIntake, "there is no such request for a secret", "`zavhoz intake list` shows those that wait")
}

// check looks at all that needs no transaction.
func (q SecretRequest) check() error {
	switch {
	case (q.Key == "") == (q.Kind == "" && q.Handle == "") || q.Key != "" && q.Kind+q.Handle != "":
		return fault.New(fault.InvalidArgument, "ask for the secret of a project (project and key), or for a resource (kind and handle)", "give one of the two")
	case q.Key != "" && q.Project == "":
		return fault.New(fault.InvalidArgument, "a key is of a project, and no project is named", "give project")
	case q.Key != "" && !kind.SecretName(q.Key):
		return fault.New(fault.InvalidArgument, "a key is the name of a variable: 1 to 128 letters, digits and `_`, not beginning with a digit", "")
	case q.Reason == "":
		return fault.New(fault.InvalidArgument, "the person who gives a secret is told what for", "give reason: one line")
	}
	if err := errors.Join(checkWhy(q.Reason), plainWords(q.Reason)); err != nil || q.Key != "" {
		return err
	}
	k, err := kind.Get(q.Kind)
	if err != nil {
		return err
	}
	if k.Name == kind.Environment {
		return fault.New(fault.InvalidArgument, "an environment is resolved, and not given", "call resolve_environment")
	}
	return CheckHandle(q.Handle)
}

// plainWords refuses characters that nobody sees: a person reads an agent's reason, and decides by it.
func plainWords(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }) {
		return fault.New(fault.InvalidArgument, "a reason is plain text, without characters that steer how it is shown", "")
	}
	return nil
}

// RequestSecret asks a person for a secret, and tells how the same request stands where it was made before: whoever asks again learns its state. What is there already is
// given, and nobody is asked. Errors: invalid_argument, unknown_kind, unknown_project, not_permitted, rate_limited.
func (v *Vault) RequestSecret(ctx context.Context, actor Actor, q SecretRequest) (i Intake, err error) {
	if err := q.check(); err != nil {
		return i, err
	}
	known := false
	err = v.view(ctx, func(tx store.Tx) (err error) {
		i, known, err = v.sameIntake(tx, actor, q)
		return err
	})
	if err == nil && !known {
		err = v.update(ctx, func(tx store.Tx) (err error) {
			if i, known, err = v.sameIntake(tx, actor, q); err != nil || known {
				return err
			}
			if err := v.intakes.Add(tx, i.ID, i); err != nil {
				return err
			}
			return v.audit.Append(tx, intakeEvent(actor, audit.IntakeRequest, i))
		})
	}
	if err != nil {
		return Intake{}, v.refusedIntake(ctx, actor, audit.IntakeRequest, "", err)
	}
	i.Fresh = !known
	return i, nil
}

// refusedIntake records that an actor may not.
func (v *Vault) refusedIntake(ctx context.Context, actor Actor, a audit.Action, subject string, err error) error {
	switch fault.CodeOf(err) {
	case fault.UnknownProject, fault.NotPermitted, fault.RateLimited, fault.UnknownIntake:
		return v.deny(ctx, actor, a, subject, "", err)
	}
	return err
}

// sameIntake finds what the request is about: what is there already, or the request that was made before. Else it drafts one.
func (v *Vault) sameIntake(tx store.Tx, actor Actor, q SecretRequest) (i Intake, known bool, err error) {
	p, a, err := v.mayAsk(tx, actor, q)
	if err != nil {
		return i, false, err
	}
	now := v.now()
	i = Intake{
		Format: 1, ID: id.New(id.Intake), Project: p.Slug, Key: q.Key, Kind: q.Kind, Handle: q.Handle, Reason: q.Reason, Agent: a.ID, By: cmp.Or(a.Name, actor.Name),
		Context: actor.Context, State: IntakeWaiting, CreatedAt: now, ExpiresAt: now.Add(IntakeTTL),
	}
	if there, err := v.isThere(tx, actor, a, p, i); there || err != nil {
		i.ID, i.State, i.Gave = "", IntakeGiven, cmp.Or(q.Key, q.Handle)
		return i, true, err
	}
	waiting := 0
	var same, given Intake
	err = v.intakes.Scan(tx, "", "", func(_ string, x Intake) (bool, error) {
		x.State = x.stateAt(now)
		mine := x.Agent == a.ID
		if mine && x.State == IntakeWaiting && (a.ID != "" || x.By == actor.Name) {
			waiting++
		}
		if mine && x.asks(i) && (x.State == IntakeWaiting || x.State == IntakeDenied && now.Before(x.EndedAt.Add(IntakeTTL))) && x.CreatedAt.After(same.CreatedAt) {
			same = x
		}
		if mine && x.asks(i) && x.State == IntakeGiven && x.Gave != i.Handle && x.CreatedAt.After(given.CreatedAt) {
			given = x
		}
		return true, nil
	})
	if err == nil && i.Key == "" && given.ID != "" && same.State != IntakeWaiting { // the person chose another handle
		chosen := i
		chosen.Handle = given.Gave
		if there, err := v.isThere(tx, actor, a, p, chosen); there || err != nil {
			return given, true, err
		}
	}
	switch {
	case err != nil:
		return i, false, err
	case same.ID != "" && (same.State == IntakeWaiting || a.ID != ""): // a person who asks anew thought better of it
		return same, true, nil
	case actor.ID != "" && waiting >= MaxWaiting: // an agent, or a program with a token; a person at their own socket is not counted
		return i, false, fault.Newf(fault.RateLimited, "%d requests of yours wait for a person already", waiting).WithNext("wait until a person has answered some: `zavhoz intake list`")
	}
	return i, false, nil
}

// mayAsk tells whether the actor may ask for this: an agent for what it could use then.
func (v *Vault) mayAsk(tx store.Tx, actor Actor, q SecretRequest) (p Project, a Agent, err error) {
	need := ScopeRead
	if actor.Type == audit.Operator {
		need = ScopeWrite
	}
	if p, err = v.projectFor(tx, actor, cmp.Or(q.Project, DefaultProject), need); err != nil || actor.Type != audit.Agent {
		return p, a, err
	}
	if a, err = v.agentOf(tx, actor); err != nil {
		return p, a, err
	}
	if q.Key != "" {
		return p, a, v.mayEnvironments(tx, actor, p)
	}
	if !a.Grants.coversKind(p.Slug, q.Kind) {
		err = fault.New(fault.NotPermitted, "you could not use a resource of this kind if there were one", "ask the operator for a grant: `zavhoz agent add NAME --kinds "+q.Kind+"`")
	}
	return p, a, err
}

// isThere tells whether what is asked for exists and the actor may use it. What an agent may not see it is told nothing of: its request then waits like any other.
func (v *Vault) isThere(tx store.Tx, actor Actor, a Agent, p Project, i Intake) (bool, error) {
	if i.Key != "" {
		c, err := v.configOf(tx, p)
		_, filled := c.Known[i.Key]
		return filled, err
	}
	r, err := v.byHandle(tx, i.Handle)
	if fault.CodeOf(err) == fault.UnknownResource {
		return false, nil
	}
	return err == nil && r.Kind == i.Kind && (actor.Type != audit.Agent || visible(r, a)), err
}

// asks tells whether two requests are for the same.
func (i Intake) asks(o Intake) bool {
	return i.Project == o.Project && i.Key == o.Key && i.Kind == o.Kind && i.Handle == o.Handle
}

// stateAt is the state, with what time has done to it.
func (i Intake) stateAt(now time.Time) IntakeState {
	if i.State == IntakeWaiting && !now.Before(i.ExpiresAt) {
		return IntakeExpired
	}
	return i.State
}

// subject names what is asked for, in an audit record.
func (i Intake) subject() string {
	if i.Key != "" {
		return i.Project + "." + i.Key
	}
	return i.Kind + " " + i.Handle
}

func intakeEvent(actor Actor, a audit.Action, i Intake) audit.Event {
	return audit.Event{Actor: actor, Action: a, Outcome: audit.Allowed, Subject: i.ID, Handle: i.Handle, Detail: map[string]string{"for": i.subject(), "project": i.Project}}
}

// Intakes lists requests for secrets, those that wait first, then the newest: of an agent its own, else those within the projects that within says. Errors: those of the store.
func (v *Vault) Intakes(ctx context.Context, actor Actor, within func(slug string) bool) (out []Intake, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		return v.intakes.Scan(tx, "", "", func(_ string, i Intake) (bool, error) {
			if !within(i.Project) || actor.Type == audit.Agent && i.Agent != actor.ID {
				return true, nil
			}
			p, err := v.byProject(tx, i.Project)
			if err == nil {
				err = v.settled(tx, p, &i)
			}
			out = append(out, i)
			return true, err
		})
	})
	slices.SortFunc(out, func(a, b Intake) int {
		if aw, bw := a.State == IntakeWaiting, b.State == IntakeWaiting; aw != bw {
			if aw {
				return -1
			}
			return 1
		}
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out, err
}

// Intake gives one request: to an agent its own. Errors: unknown_intake.
func (v *Vault) Intake(ctx context.Context, actor Actor, ref string) (i Intake, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		i, err = v.intakeFor(tx, actor, ref, ScopeRead)
		return err
	})
	return i, err
}

// intakeFor finds a request for who acts on it: what is another's, or out of a token's projects, is not there.
func (v *Vault) intakeFor(tx store.Tx, actor Actor, ref string, need Scope) (Intake, error) {
	if !id.Is(ref, id.Intake) {
		return Intake{}, noIntake()
	}
	i, err := v.intakes.Get(tx, ref)
	if err != nil {
		return Intake{}, found(err, noIntake())
	}
	if actor.Type == audit.Agent && i.Agent != actor.ID {
		return Intake{}, noIntake()
	}
	p, err := v.projectFor(tx, actor, i.Project, need)
	if fault.CodeOf(err) == fault.UnknownProject {
		return Intake{}, noIntake()
	}
	if err != nil {
		return Intake{}, err
	}
	return i, v.settled(tx, p, &i)
}

// settled sets the state as it is now: the secret may have come by another way.
func (v *Vault) settled(tx store.Tx, p Project, i *Intake) error {
	if i.State = i.stateAt(v.now()); i.State != IntakeWaiting {
		return nil
	}
	if i.Key == "" {
		r, err := v.byHandle(tx, i.Handle)
		if err == nil && r.Kind == i.Kind && r.Project == p.Slug && r.CreatedAt.After(i.CreatedAt) {
			i.State, i.EndedAt, i.EndedBy, i.Gave = IntakeGiven, r.CreatedAt, r.UpdatedBy, i.Handle
		}
		if fault.CodeOf(err) == fault.UnknownResource {
			return nil
		}
		return err
	}
	c, err := v.configOf(tx, p)
	if m, filled := c.Known[i.Key]; filled {
		i.State, i.EndedAt, i.EndedBy, i.Gave = IntakeGiven, m.UpdatedAt, m.UpdatedBy, i.Key
	}
	return err
}

// dropIntakes forgets those that which says: a request goes with the agent that made it.
func (v *Vault) dropIntakes(tx store.Tx, which func(Intake) bool) error {
	var gone []string
	err := v.intakes.Scan(tx, "", "", func(ref string, i Intake) (bool, error) {
		if which(i) {
			gone = append(gone, ref)
		}
		return true, nil
	})
	for _, ref := range gone {
		err = errors.Join(err, v.intakes.Delete(tx, ref))
	}
	return err
}

// waits refuses what has ended.
func (i Intake) waits() error {
	if i.State == IntakeWaiting {
		return nil
	}
	return fault.Newf(fault.IntakeEnded, "the request was %s already", i.State).WithNext("`zavhoz intake new` makes another")
}

// DenyIntake says no to a request, for a reason that the agent reads. Errors: unknown_intake, intake_ended, invalid_argument, not_permitted.
func (v *Vault) DenyIntake(ctx context.Context, actor Actor, ref, why string) (i Intake, err error) {
	if err := checkWhy(why); err != nil {
		return i, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		if i, err = v.intakeFor(tx, actor, ref, ScopeWrite); err != nil {
			return err
		}
		if err := i.waits(); err != nil {
			return err
		}
		i.Why = why
		return v.endIntake(tx, actor, &i, IntakeDenied, audit.IntakeDeny)
	})
	if err != nil {
		return Intake{}, v.refusedIntake(ctx, actor, audit.IntakeDeny, "", err)
	}
	return i, nil
}

// endIntake ends a request; its code opens nothing any more.
func (v *Vault) endIntake(tx store.Tx, actor Actor, i *Intake, s IntakeState, a audit.Action) error {
	i.State, i.Code, i.Tries, i.EndedAt, i.EndedBy = s, "", 0, v.now(), actor.Name
	return errors.Join(v.intakes.Put(tx, i.ID, *i), v.audit.Append(tx, intakeEvent(actor, a, *i)))
}
