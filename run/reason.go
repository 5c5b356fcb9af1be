package run

import (
	"cmp"
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Failure says why a run ended that did not end by itself: what its caller was told, or would have been had it waited. It is kept with the run's record.
type Failure struct {
	Code    string // of package fault; a record of a later version may hold one that is not known here
	Message string // one sentence; "" in a record of before 2026-11-26
	Next    string // what to do now; may be empty
}

// ended settles how a run ended, by what ended it. The error is what its caller is told; nil where the state says it all.
func ended(err error) (vault.RunState, error) {
	switch {
	case err == nil:
		return vault.RunExited, nil
	case errors.Is(err, errTimeout):
		return vault.RunTimedOut, nil
	case errors.Is(err, errStopped), errors.Is(err, errShutdown), errors.Is(err, errLocked):
		return vault.RunStopped, nil
	case errors.Is(err, errRevoked):
		return vault.RunStopped, fault.New(fault.NotPermitted, "the run was stopped: its lease, its resource or its agent was taken away", "call list_resources to see what you may use")
	case errors.Is(err, context.Canceled):
		return vault.RunStopped, fault.New(fault.Canceled, "the call was canceled and the run stopped", "").Because(err)
	}
	return vault.RunFailed, fault.Of(err)
}

// explain runs under mu, before the run's redactor is done. It writes the reason into the record: who started the run in the background asks for it there, perhaps
// after a restart. The words are ours, and pass the redactor all the same: records are not sealed (threat-model.md 65).
func (l *live) explain(err error) {
	why := l.err
	switch {
	case errors.Is(err, errTimeout):
		why = fault.New(fault.TimedOut, "the run took longer than its timeout and was stopped", "give a longer timeout_s, or background:true for up to a day")
	case errors.Is(err, errShutdown):
		why = fault.New(fault.DaemonUnavailable, "zavhoz was shut down while the run went on", "look at what it did before you run it again")
	case errors.Is(err, errLocked):
		why = fault.New(fault.VaultLocked, "the vault was locked while the run went on", "look at what it did before you run it again, once a person has unlocked it: `zavhoz unlock`")
	case why == nil:
		return
	}
	f := fault.Of(why)
	l.record.Code = string(f.Code)
	l.record.Message, l.record.Next = l.mask.covered(l.ctx, f.Message), l.mask.covered(l.ctx, f.Next)
}

// failureOf reads the reason from a record; nil where there is none.
func failureOf(r vault.Run) *Failure {
	if r.Code == "" {
		return nil
	}
	return &Failure{Code: r.Code, Message: cmp.Or(r.Message, "the run did not end by itself"), Next: r.Next}
}
