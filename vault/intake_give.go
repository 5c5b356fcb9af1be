package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// MaxTries is how many wrong codes end a code: it has 80 random bits, so this is about who tries, not about chance.
const MaxTries = 10

// Given is what a person gives to a request: of a project's secret Value alone, of a resource its fields.
type Given struct {
	Value   secret.Secret
	Handle  string // "": the one that was asked for
	Attrs   map[string]string
	Secrets map[string]secret.Secret
	Labels  map[string]string
	Why     string
	// Add stores the resource where it has another home than the vault; nil: AddResource.
	Add func(context.Context, Actor, NewResource) (Resource, error)
}

func (g Given) wipe() {
	g.Value.Wipe()
	wipeAll(g.Secrets)
}

// GiveIntake answers a request with a value, in one transaction with the secret that it makes: both are there, or neither. It wipes what it is given, whatever happens.
// Errors: unknown_intake, intake_ended, not_permitted, and those of AddResource and MergeProjectSecrets. A secret of a project that came meanwhile stays, and is name_taken.
func (v *Vault) GiveIntake(ctx context.Context, actor Actor, ref string, g Given) (Intake, error) {
	defer g.wipe()
	i, err := v.give(ctx, actor, g, func(tx store.Tx) (Intake, error) { return v.intakeFor(tx, actor, ref, ScopeWrite) })
	if err != nil {
		return Intake{}, v.refusedIntake(ctx, actor, audit.IntakeGive, "", err)
	}
	return i, nil
}

// give finds the request, looks at it before anything is asked of a service, and answers it.
func (v *Vault) give(ctx context.Context, actor Actor, g Given, find func(store.Tx) (Intake, error)) (i Intake, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		i, err = find(tx)
		if err == nil {
			err = i.waits()
		}
		return err
	})
	if err != nil {
		return Intake{}, err
	}
	g.Why = cmp.Or(g.Why, "asked for by "+i.By)
	if err := checkWhy(g.Why); err != nil {
		g.Why = "asked for"
	}
	if i.Key != "" {
		return v.giveKey(ctx, actor, i, g, find)
	}
	return v.giveResource(ctx, actor, i, g, find)
}

// again finds the request within the transaction that answers it: it may have ended meanwhile.
func again(tx store.Tx, i *Intake, find func(store.Tx) (Intake, error)) (err error) {
	if *i, err = find(tx); err != nil {
		return err
	}
	return i.waits()
}

func (v *Vault) giveKey(ctx context.Context, actor Actor, i Intake, g Given, find func(store.Tx) (Intake, error)) (Intake, error) {
	if len(g.Attrs)+len(g.Secrets)+len(g.Labels) > 0 || g.Handle != "" {
		return Intake{}, fault.New(fault.UnknownField, "a secret of a project is one value, and nothing else", "give the value alone")
	}
	none := uint64(0)
	x := merging{
		v: v, actor: actor, ref: i.Project, given: map[string]given{},
		m: SecretMerge{Secrets: map[string]SecretChange{i.Key: {Value: g.Value, IfVersion: &none}}, Why: g.Why},
	}
	defer x.wipe()
	if err := x.check(); err != nil {
		return Intake{}, err
	}
	if err := x.ask(ctx); err != nil {
		return Intake{}, err
	}
	err := v.update(ctx, func(tx store.Tx) error {
		if err := again(tx, &i, find); err != nil {
			return err
		}
		if err := x.run(tx); err != nil {
			return err
		}
		i.Gave = i.Key
		return v.endIntake(tx, actor, &i, IntakeGiven, audit.IntakeGive)
	})
	if err != nil {
		return Intake{}, err
	}
	v.mirrored(ctx, x.out.Project)
	return i, nil
}

func (v *Vault) giveResource(ctx context.Context, actor Actor, i Intake, g Given, find func(store.Tx) (Intake, error)) (Intake, error) {
	if !g.Value.IsZero() {
		return Intake{}, fault.New(fault.UnknownField, "a resource has fields, and no value", "name each field that you give: `zavhoz resource kinds` lists them")
	}
	n := NewResource{Kind: i.Kind, Handle: cmp.Or(g.Handle, i.Handle), Attrs: g.Attrs, Secrets: g.Secrets, Labels: g.Labels, Project: i.Project, Why: g.Why}
	n.asked = func(tx store.Tx, rehearsed bool) error {
		if err := again(tx, &i, find); err != nil || rehearsed {
			return err
		}
		i.Gave = n.Handle
		return v.endIntake(tx, actor, &i, IntakeGiven, audit.IntakeGive)
	}
	if g.Add == nil {
		g.Add = v.AddResource
	}
	if _, err := g.Add(ctx, actor, n); err != nil {
		return Intake{}, err
	}
	return i, nil
}

// pageActor is whoever has a request's code: a person to whom the operator gave it. What they may do is answer that request.
func pageActor() Actor { return Actor{Type: audit.Operator, Name: "intake", Door: "page"} }

// codeAlphabet has no letter that is taken for another.
const codeAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// IntakeCode makes the code that opens a request's page, once: 80 random bits. A code that was made before opens nothing from then on. Who has it may give the value, and see
// what was asked for; only its digest is kept. Errors: unknown_intake, intake_ended, not_permitted.
func (v *Vault) IntakeCode(ctx context.Context, actor Actor, ref string) (i Intake, code string, err error) {
	var b [16]byte
	_, _ = rand.Read(b[:])
	for n := range b {
		b[n] = codeAlphabet[b[n]&31]
	}
	code = string(b[:4]) + "-" + string(b[4:8]) + "-" + string(b[8:12]) + "-" + string(b[12:])
	err = v.update(ctx, func(tx store.Tx) error {
		if i, err = v.intakeFor(tx, actor, ref, ScopeWrite); err != nil {
			return err
		}
		if err := i.waits(); err != nil {
			return err
		}
		i.Code, i.Tries = codeDigest(i.ID, code), 0
		if err := v.intakes.Put(tx, i.ID, i); err != nil {
			return err
		}
		return v.audit.Append(tx, intakeEvent(actor, audit.IntakeCode, i))
	})
	if err != nil {
		return Intake{}, "", v.refusedIntake(ctx, actor, audit.IntakeCode, "", err)
	}
	return i, code, nil
}

// codeDigest is what is kept of a code. It is bound to its request, and read as a person types it.
func codeDigest(of, typed string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	h := sha256.Sum256([]byte("zavhoz intake code v1\x00" + of + "\x00" + clean))
	return hex.EncodeToString(h[:])
}

func (i Intake) opens(code string) bool {
	return i.Code != "" && subtle.ConstantTimeCompare([]byte(i.Code), []byte(codeDigest(i.ID, code))) == 1
}

// errCode is the one answer to whoever has not the code: it tells nothing of whether there is such a request.
func errCode() *fault.Error {
	return fault.New(fault.Unauthenticated, "that is not the code, or the request has ended", "ask whoever sent you here for another: `zavhoz intake code`")
}

// OpenIntake gives a request to who shows its code. A wrong one is counted: after MaxTries the code opens nothing. Errors: unauthenticated.
func (v *Vault) OpenIntake(ctx context.Context, ref, code string) (i Intake, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		i, err = v.intakeByCode(tx, ref, code)
		return err
	})
	if fault.CodeOf(err) == fault.Unauthenticated {
		return Intake{}, v.wrongCode(ctx, ref, err)
	}
	return i, err
}

func (v *Vault) intakeByCode(tx store.Tx, ref, code string) (Intake, error) {
	if !id.Is(ref, id.Intake) {
		return Intake{}, errCode()
	}
	i, err := v.intakes.Get(tx, ref)
	if err != nil {
		return Intake{}, found(err, errCode())
	}
	p, err := v.byProject(tx, i.Project)
	if err == nil {
		err = v.settled(tx, p, &i)
	}
	if err == nil && (i.State != IntakeWaiting || !i.opens(code)) {
		err = errCode()
	}
	return i, err
}

// wrongCode counts a code that was not it, where there is one to guess.
func (v *Vault) wrongCode(ctx context.Context, ref string, refusal error) error {
	if !id.Is(ref, id.Intake) {
		return refusal
	}
	err := v.update(ctx, func(tx store.Tx) error {
		i, err := v.intakes.Get(tx, ref)
		if err != nil || i.Code == "" || i.stateAt(v.now()) != IntakeWaiting {
			return ignoreNotFound(err)
		}
		if i.Tries++; i.Tries >= MaxTries {
			i.Code = ""
		}
		if err := v.intakes.Put(tx, i.ID, i); err != nil {
			return err
		}
		e := intakeEvent(pageActor(), audit.IntakeGive, i)
		e.Outcome, e.Code = audit.Denied, string(fault.Unauthenticated)
		return v.audit.Append(tx, e)
	})
	if err != nil {
		return err
	}
	return refusal
}

// GiveByCode is GiveIntake for who shows the request's code, which is spent with it. It wipes what it is given, whatever happens.
func (v *Vault) GiveByCode(ctx context.Context, ref, code string, g Given) (Intake, error) {
	defer g.wipe()
	i, err := v.give(ctx, pageActor(), g, func(tx store.Tx) (Intake, error) { return v.intakeByCode(tx, ref, code) })
	if fault.CodeOf(err) == fault.Unauthenticated {
		return Intake{}, v.wrongCode(ctx, ref, err)
	}
	return i, err
}
