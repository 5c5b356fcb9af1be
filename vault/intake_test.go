package vault_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var (
	anywhere = func(string) bool { return true }
	keyOf    = vault.SecretRequest{Project: "bot", Key: "OPENAI_API_KEY", Reason: "the bot answers with it"}
	botOf    = vault.SecretRequest{Kind: "telegram_bot", Handle: "weather_bot", Reason: "to speak as it"}
)

func one(s string) vault.Given { return vault.Given{Value: secret.FromString(s)} }

func (h *house) asks(who vault.Actor, q vault.SecretRequest) vault.Intake {
	h.t.Helper()
	i, err := h.RequestSecret(ctx, who, q)
	must(h.t, err)
	return i
}

// intakeHouse has two projects' agents.
func intakeHouse(t *testing.T) (h *house, bob, eve vault.Actor) {
	h = newHouse(t)
	h.project("bot")
	bob, _ = h.addAgent(vault.NewAgent{Name: "bob", Grants: vault.Grants{Projects: []string{"bot", "default"}, Kinds: []string{"*"}}})
	eve, _ = h.addAgent(vault.NewAgent{Name: "eve", Grants: vault.Grants{Projects: []string{"bot", "default"}, Kinds: []string{"*"}}})
	return h, bob, eve
}

// TestIntakeOfAProjectsSecret: one request however often it is made, one value, and the agent learns that it is there.
func TestIntakeOfAProjectsSecret(t *testing.T) {
	h, bob, eve := intakeHouse(t)
	i := h.asks(bob, keyOf)
	if !id.Is(i.ID, id.Intake) || i.State != vault.IntakeWaiting || i.Project != "bot" || i.By != "bob" || i.Agent != bob.ID || !i.ExpiresAt.Equal(h.clock().Add(vault.IntakeTTL)) {
		t.Fatalf("%+v", i)
	}
	h.pass(time.Minute)
	other := keyOf
	other.Reason = "in other words"
	if again := h.asks(bob, other); again.ID != i.ID || again.Reason != keyOf.Reason {
		t.Errorf("asked again: %+v", again)
	}
	if hers := h.asks(eve, keyOf); hers.ID == i.ID || hers.By != "eve" {
		t.Errorf("another agent's: %+v", hers)
	}
	_, err := h.GiveIntake(ctx, operator, i.ID, vault.Given{})
	wantCode(t, err, fault.SecretInvalid)
	_, err = h.GiveIntake(ctx, operator, i.ID, vault.Given{Value: secret.FromString("sk-the-value-1"), Attrs: map[string]string{"a": "b"}})
	wantCode(t, err, fault.UnknownField)
	g := one("sk-the-value-1")
	done, err := h.GiveIntake(ctx, operator, i.ID, g)
	must(t, err)
	if done.State != vault.IntakeGiven || done.Gave != "OPENAI_API_KEY" || done.EndedBy != "operator" || g.Value.Len() != 0 {
		t.Errorf("%+v, %d bytes left", done, g.Value.Len())
	}
	if got := h.secretsOf("bot"); got["OPENAI_API_KEY"] != "sk-the-value-1" || len(got) != 1 {
		t.Errorf("%v", got)
	}
	_, err = h.GiveIntake(ctx, operator, i.ID, one("another"))
	wantCode(t, err, fault.IntakeEnded)
	_, err = h.DenyIntake(ctx, operator, i.ID, "")
	wantCode(t, err, fault.IntakeEnded)
	for _, who := range []vault.Actor{bob, eve} { // hers came by another way
		if now := h.asks(who, keyOf); now.State != vault.IntakeGiven || now.Gave != "OPENAI_API_KEY" || now.ID != "" {
			t.Errorf("%s: %+v", who.Name, now)
		}
		list, err := h.Intakes(ctx, who, anywhere)
		must(t, err)
		if len(list) != 1 || list[0].State != vault.IntakeGiven || list[0].By != who.Name {
			t.Errorf("%s lists %+v", who.Name, list)
		}
	}
	h.reopen()
}

// TestIntakeAskedAtOnce: calls at the same moment are one request.
func TestIntakeAskedAtOnce(t *testing.T) {
	h, bob, _ := intakeHouse(t)
	var wg sync.WaitGroup
	ids := make([]string, 16)
	for n := range ids {
		wg.Go(func() {
			i, err := h.RequestSecret(ctx, bob, keyOf)
			if ids[n] = i.ID; err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if slices.Sort(ids); ids[0] != ids[len(ids)-1] {
		t.Errorf("%v", ids)
	}
}

// TestIntakeOfAResource: the person chooses what is public of it, and its handle.
func TestIntakeOfAResource(t *testing.T) {
	h, bob, eve := intakeHouse(t)
	i := h.asks(bob, botOf)
	_, err := h.GiveIntake(ctx, operator, i.ID, one("x"))
	wantCode(t, err, fault.UnknownField)
	_, err = h.GiveIntake(ctx, operator, i.ID, vault.Given{Secrets: values("token", "no bot's")})
	wantCode(t, err, fault.SecretInvalid)
	if _, err := h.Resource(ctx, "weather_bot"); fault.CodeOf(err) != fault.UnknownResource {
		t.Errorf("half done: %v", err)
	}
	h.addBot("shop_bot")
	_, err = h.GiveIntake(ctx, operator, i.ID, vault.Given{Handle: "shop_bot", Secrets: values("token", botToken)})
	wantCode(t, err, fault.HandleTaken)
	if again := h.asks(bob, botOf); again.State != vault.IntakeWaiting {
		t.Errorf("after a refusal: %+v", again)
	}
	done, err := h.GiveIntake(ctx, operator, i.ID, vault.Given{Handle: "weather_bot_2", Attrs: map[string]string{"username": "@weather_bot"}, Secrets: values("token", botToken), Labels: map[string]string{"env": "prod"}})
	must(t, err)
	r, err := h.Resource(ctx, "weather_bot_2")
	must(t, err)
	if done.Gave != "weather_bot_2" || h.reveal(r, "token") != botToken || r.Project != "default" || r.Labels["env"] != "prod" || !strings.Contains(r.Why, "bob") {
		t.Errorf("%+v %+v", done, r)
	}
	if now := h.asks(bob, botOf); now.ID != i.ID || now.State != vault.IntakeGiven || now.Gave != "weather_bot_2" {
		t.Errorf("an agent asks on for what it has under another handle: %+v", now)
	}
	_, err = h.RemoveResource(ctx, operator, "weather_bot_2")
	must(t, err)
	h.pass(time.Second)
	if now := h.asks(bob, botOf); now.ID == i.ID || now.State != vault.IntakeWaiting {
		t.Errorf("what was given is gone, and is not asked for: %+v", now)
	}
	h.pass(time.Second)
	h.addBot("weather_bot") // by another way
	list, err := h.Intakes(ctx, operator, anywhere)
	must(t, err)
	if len(list) != 2 || list[0].State != vault.IntakeGiven || list[0].Gave != "weather_bot" || list[1].Gave != "weather_bot_2" {
		t.Errorf("%+v", list)
	}
	// What an agent may use is there; what it may not see is not told of.
	seen := vault.SecretRequest{Kind: "telegram_bot", Handle: "shop_bot", Reason: "x"}
	if now := h.asks(eve, seen); now.State != vault.IntakeGiven {
		t.Errorf("%+v", now)
	}
	narrow, _ := h.addAgent(vault.NewAgent{Name: "narrow", Grants: vault.Grants{Projects: []string{"bot"}, Kinds: []string{"telegram_bot"}}})
	seen.Project = "bot"
	if now := h.asks(narrow, seen); now.State != vault.IntakeWaiting {
		t.Errorf("an agent is told of a handle that it may not see: %+v", now)
	}
}

// TestAttack63_IntakesHaveOwners: an agent sees and changes nothing of another's request, answers none, and asks for nothing that it could not use.
func TestAttack63_IntakesHaveOwners(t *testing.T) {
	h, bob, eve := intakeHouse(t)
	h.project("shop")
	i := h.asks(bob, keyOf)
	bound := h.token(vault.NewAgent{Name: "bound", Grants: vault.Grants{Projects: []string{"shop"}}})
	reads := h.token(vault.NewAgent{Name: "reads", Scopes: []vault.Scope{vault.ScopeRead}})
	for _, who := range []vault.Actor{eve, bound} {
		_, err := h.Intake(ctx, who, i.ID)
		wantCode(t, err, fault.UnknownIntake)
	}
	for who, code := range map[*vault.Actor]fault.Code{&bob: fault.NotPermitted, &eve: fault.UnknownIntake, &bound: fault.UnknownIntake, &reads: fault.NotPermitted} {
		_, err := h.GiveIntake(ctx, *who, i.ID, one("of mine"))
		wantCode(t, err, code)
		_, err = h.DenyIntake(ctx, *who, i.ID, "")
		wantCode(t, err, code)
		_, _, err = h.IntakeCode(ctx, *who, i.ID)
		wantCode(t, err, code)
	}
	own, err := h.Intake(ctx, bob, i.ID)
	must(t, err)
	if own.Code != "" || own.State != vault.IntakeWaiting {
		t.Errorf("%+v", own)
	}
	for _, x := range []struct {
		who  vault.Actor
		q    vault.SecretRequest
		code fault.Code
	}{
		{h.local(), keyOf, fault.UnknownProject},
		{bob, vault.SecretRequest{Project: "shop", Key: "A", Reason: "x"}, fault.UnknownProject},
		{bob, vault.SecretRequest{Project: "none", Key: "A", Reason: "x"}, fault.UnknownProject},
		{reads, keyOf, fault.NotPermitted},
		{bob, vault.SecretRequest{Project: "bot", Key: "A"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Project: "bot", Key: "A B", Reason: "x"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Project: "bot", Key: "A", Reason: "two\nlines"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Project: "bot", Key: "A", Reason: "\u202eesrever"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Project: "bot", Key: "A", Reason: strings.Repeat("x", 201)}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Project: "bot", Key: "A", Kind: "generic", Reason: "x"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Key: "A", Reason: "x"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Reason: "x"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Kind: "nothing", Handle: "x", Reason: "x"}, fault.UnknownKind},
		{bob, vault.SecretRequest{Kind: "environment", Handle: "x", Reason: "x"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Kind: "generic", Handle: "No", Reason: "x"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Kind: "generic", Reason: "x"}, fault.InvalidArgument},
		{bob, vault.SecretRequest{Kind: "generic", Handle: "x", Reason: "two\nlines"}, fault.InvalidArgument},
	} {
		_, err := h.RequestSecret(ctx, x.who, x.q)
		if fault.CodeOf(err) != x.code {
			t.Errorf("%s %+v: %v, want %s", x.who.Name, x.q, err, x.code)
		}
	}
	kinds, _ := h.addAgent(vault.NewAgent{Name: "kinds", Grants: vault.Grants{Projects: []string{"*"}, Kinds: []string{"server"}}})
	_, err = h.RequestSecret(ctx, kinds, botOf)
	wantCode(t, err, fault.NotPermitted)
	for n := range vault.MaxWaiting - 1 {
		h.asks(bob, vault.SecretRequest{Project: "bot", Key: fmt.Sprint("K", n), Reason: "x"})
	}
	_, err = h.RequestSecret(ctx, bob, vault.SecretRequest{Project: "bot", Key: "ONE_MORE", Reason: "x"})
	wantCode(t, err, fault.RateLimited)
	h.asks(eve, vault.SecretRequest{Project: "bot", Key: "ONE_MORE", Reason: "x"})
	h.asks(operator, vault.SecretRequest{Project: "bot", Key: "ONE_MORE", Reason: "x"})
	token := h.token(vault.NewAgent{Name: "panel"}) // a program
	for n := range vault.MaxWaiting {
		h.asks(token, vault.SecretRequest{Project: "bot", Key: fmt.Sprint("P", n), Reason: "x"})
	}
	_, err = h.RequestSecret(ctx, token, vault.SecretRequest{Project: "bot", Key: "TOO_MANY", Reason: "x"})
	wantCode(t, err, fault.RateLimited)
	if again := h.asks(token, vault.SecretRequest{Project: "bot", Key: "P0", Reason: "x"}); again.State != vault.IntakeWaiting {
		t.Errorf("one that waits is told no more: %+v", again)
	}
	h.asks(h.token(vault.NewAgent{Name: "another"}), vault.SecretRequest{Project: "bot", Key: "TOO_MANY", Reason: "x"})
	h.asks(operator, vault.SecretRequest{Project: "bot", Key: "AT_THE_SOCKET", Reason: "x"})
	_, err = h.RemoveAgent(ctx, operator, "bob")
	must(t, err)
	_, err = h.Intake(ctx, operator, i.ID)
	wantCode(t, err, fault.UnknownIntake)
}

// TestIntakesEnd: a denial is told, and answers the same request for a day; what nobody answers expires; what is long over is forgotten.
func TestIntakesEnd(t *testing.T) {
	h, bob, _ := intakeHouse(t)
	i := h.asks(bob, keyOf)
	_, err := h.DenyIntake(ctx, operator, i.ID, "use the test key")
	must(t, err)
	h.pass(vault.IntakeTTL - time.Second)
	if now := h.asks(bob, keyOf); now.State != vault.IntakeDenied || now.Why != "use the test key" || now.ID != i.ID {
		t.Errorf("%+v", now)
	}
	if mine := h.asks(operator, keyOf); mine.State != vault.IntakeWaiting || mine.Agent != "" {
		t.Errorf("a person's own: %+v", mine)
	}
	h.pass(time.Second)
	next := h.asks(bob, keyOf)
	if next.ID == i.ID || next.State != vault.IntakeWaiting {
		t.Errorf("after a day: %+v", next)
	}
	h.pass(vault.IntakeTTL)
	_, err = h.GiveIntake(ctx, operator, next.ID, one("too-late-1"))
	wantCode(t, err, fault.IntakeEnded)
	list, err := h.Intakes(ctx, operator, anywhere)
	must(t, err)
	if len(list) != 3 || list[0].State == vault.IntakeWaiting {
		t.Errorf("%+v", list)
	}
	h.pass(vault.KeepEnded + time.Second)
	must(t, h.Sweep(ctx))
	if list, err = h.Intakes(ctx, operator, anywhere); err != nil || len(list) != 0 {
		t.Errorf("%v %+v", err, list)
	}
	h.reopen()
}

// TestAttack63_ACodeOpensOneRequest: who has it answers that request once; who guesses ends it; and nobody learns whether there is a request at all.
func TestAttack63_ACodeOpensOneRequest(t *testing.T) {
	h, bob, eve := intakeHouse(t)
	i, other := h.asks(bob, keyOf), h.asks(eve, keyOf)
	none := id.New(id.Intake)
	for _, ref := range []string{i.ID, none, "", "itk_../x"} {
		_, err := h.OpenIntake(ctx, ref, "")
		wantCode(t, err, fault.Unauthenticated)
	}
	_, code, err := h.IntakeCode(ctx, operator, i.ID)
	must(t, err)
	_, err = h.OpenIntake(ctx, other.ID, code)
	wantCode(t, err, fault.Unauthenticated)
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), " " + strings.ReplaceAll(code, "-", "")} {
		open, err := h.OpenIntake(ctx, i.ID, typed)
		must(t, err)
		if open.ID != i.ID {
			t.Errorf("%q: %+v", typed, open)
		}
	}
	_, second, err := h.IntakeCode(ctx, operator, i.ID)
	must(t, err)
	_, err = h.OpenIntake(ctx, i.ID, code)
	wantCode(t, err, fault.Unauthenticated)
	for range vault.MaxTries - 2 {
		_, err = h.GiveByCode(ctx, i.ID, code, one("of-a-stranger"))
		wantCode(t, err, fault.Unauthenticated)
	}
	if _, err := h.OpenIntake(ctx, i.ID, second); err != nil {
		t.Errorf("after fewer wrong ones than end it: %v", err)
	}
	_, err = h.OpenIntake(ctx, i.ID, "AAAA-AAAA-AAAA-AAAA")
	wantCode(t, err, fault.Unauthenticated)
	_, err = h.OpenIntake(ctx, i.ID, second)
	wantCode(t, err, fault.Unauthenticated)

	_, third, err := h.IntakeCode(ctx, operator, i.ID)
	must(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for n := range errs {
		wg.Go(func() { _, errs[n] = h.GiveByCode(ctx, i.ID, third, one(fmt.Sprint("sk-by-code-", n))) })
	}
	wg.Wait()
	given := 0
	for n, err := range errs {
		if err == nil {
			given++
			if got := h.secretsOf("bot")["OPENAI_API_KEY"]; got != fmt.Sprint("sk-by-code-", n) {
				t.Errorf("%d was acknowledged, %q is there", n, got)
			}
		} else if c := fault.CodeOf(err); c != fault.Unauthenticated && c != fault.NameTaken && c != fault.IntakeEnded {
			t.Errorf("%d: %v", n, err)
		}
	}
	if given != 1 {
		t.Errorf("given %d times: %v", given, errs)
	}
	now, err := h.Intake(ctx, operator, i.ID)
	must(t, err)
	if now.State != vault.IntakeGiven || now.EndedBy != "intake" || now.Code != "" {
		t.Errorf("%+v", now)
	}
	must(t, h.Noted(ctx))
	log, st := h.Audit()
	must(t, st.View(ctx, func(tx store.Tx) error {
		for action, want := range map[audit.Action]int{audit.IntakeRequest: 2, audit.IntakeCode: 3, audit.IntakeGive: 1} {
			rs, _, err := log.List(tx, audit.Filter{Action: action, Outcome: audit.Allowed})
			if err != nil || len(rs) != want {
				t.Errorf("%s: %d on record, %v", action, len(rs), err)
			}
		}
		rs, _, err := log.List(tx, audit.Filter{Action: audit.IntakeGive, Outcome: audit.Denied, Limit: 100})
		if err != nil || len(rs) < vault.MaxTries {
			t.Errorf("%d guesses on record, %v", len(rs), err)
		}
		return nil
	}))
}
