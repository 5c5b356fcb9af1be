package run

import (
	"context"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// level is the strongest isolation that holds here, found by doing.
func (e *Engine) level() policy.Level {
	if e.o.Sandbox == nil {
		return policy.LevelOpen
	}
	return e.o.Sandbox.Level()
}

// meets refuses a resource that demands more than this machine gives.
func meets(level policy.Level, r vault.Resource) error {
	if level.Meets(r.Policy.MinLevel) {
		return nil
	}
	return fault.Newf(fault.IsolationMissing, "%s demands isolation level %s; this machine gives %s", r.Handle, r.Policy.MinLevel, level).
		WithNext("zavhoz doctor says what is missing")
}

// mayBroker tells whether a request that no pin covers is to be planned as a brokered run: always, but where the caller named a pin, where nothing of what it
// asked for has a stand-in, or where there are pins and no walls. There the sentence that says how to pin is the better answer.
func (e *Engine) mayBroker(r Request, uses []vault.Use, why error) bool {
	switch fault.CodeOf(why) {
	case fault.CommandNotPinned, fault.CommandMismatch, fault.DeliveryRefused, fault.InvalidArgument, fault.WorkdirRefused:
	default:
		return false
	}
	pinned := func(u vault.Use) bool { return len(u.Resource.Policy.Pins) > 0 }
	if strings.HasPrefix(r.Command[0], "pin:") || e.level().Less(policy.LevelProxied) && slices.ContainsFunc(uses, pinned) {
		return false
	}
	return slices.ContainsFunc(uses, func(u vault.Use) bool {
		return slices.ContainsFunc([]policy.Delivery{policy.Broker, policy.SSH}, func(d policy.Delivery) bool { return e.o.Rules.Allows(u.Resource, d) })
	})
}

// planBrokered plans a command that the caller chose. It holds no true value, so nothing of it needs a person's trust but where it may work.
func (e *Engine) planBrokered(ctx context.Context, p *plan, r Request) error {
	level := e.level()
	p.sort, p.argv, p.isolation, p.standIns = brokeredRun, r.Command, string(level), map[string]StandIn{}
	if level.Less(policy.LevelProxied) {
		return fault.New(fault.IsolationMissing, "a command of your own choice needs walls around it, and this machine gives none",
			"zavhoz doctor says what is missing; without walls a server takes [\"ssh\", HANDLE, COMMAND…] right after the handle, and else "+
				strings.ReplaceAll(policy.HowToPin, "HANDLE", p.uses[0].Resource.Handle))
	}
	for _, u := range p.uses {
		res := u.Resource
		if err := meets(level, res); err != nil {
			return err
		}
		s := e.o.Rules.StandIn(res)
		how, err := e.standInOf(res, s)
		if err != nil {
			return err
		}
		p.standIns[res.ID], p.delivered[res.Handle] = s, string(how)
	}
	if err := checkPlainEnv(e.o.Rules, r.Env); err != nil {
		return err
	}
	return e.planWorkdir(ctx, p, r)
}

// standInOf chooses how a resource is used without being held.
func (e *Engine) standInOf(r vault.Resource, s StandIn) (policy.Delivery, error) {
	switch {
	case e.o.Rules.Allows(r, policy.SSH):
		return policy.SSH, nil
	case s.Why != "":
		return "", fault.New(fault.DeliveryRefused, "nothing can stand in for "+r.Handle+": "+s.Why, strings.ReplaceAll(policy.HowToPin, "HANDLE", r.Handle))
	case !e.o.Rules.Allows(r, policy.Broker):
		return "", fault.New(fault.DeliveryRefused, r.Handle+" may not be used by a command of your own choice: its kind or its policy does not allow it",
			"a person can allow it: zavhoz resource policy "+r.Handle+" --delivery broker")
	case len(s.Swaps) == 0 && s.Front == "":
		return "", fault.New(fault.DeliveryRefused, "nothing says where the value of "+r.Handle+" goes in a request, so no placeholder can stand in for it",
			strings.ReplaceAll(policy.HowToPin, "HANDLE", r.Handle))
	}
	for _, w := range s.Swaps {
		if w.Minted != "" && e.o.Mint == nil {
			return "", fault.New(fault.NotSupported, "the short-lived token of "+r.Handle+" cannot be made by this release", "a person can add a token of its own as an api_key")
		}
	}
	return policy.Broker, nil
}

// checkPlainEnv bounds what the caller sets: nothing that steers a loader or an interpreter, nothing that leads past the proxy's authority.
func checkPlainEnv(rules Rules, env map[string]string) error {
	for name := range env {
		if !rules.EnvNameAllowed(name) || egress.Steers(name) {
			return fault.New(fault.InvalidArgument, "one of these variables steers how programs start or where they connect, and is not the caller's to set", "leave it out: what is needed is set already")
		}
	}
	return nil
}

// planWorkdir finds the folders that a person opened for the cwd that was asked for.
func (e *Engine) planWorkdir(ctx context.Context, p *plan, r Request) (err error) {
	if r.Cwd == "" {
		return nil
	}
	if e.o.Workdirs == nil {
		return fault.New(fault.WorkdirRefused, "no folder is open to runs here", "leave cwd out: the run has a private folder")
	}
	p.dir = r.Cwd
	p.workdirs, err = e.o.Workdirs(ctx, r.Actor, p.uses[0].Resource.Project, r.Cwd)
	return err
}
