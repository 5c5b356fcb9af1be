package run

import (
	"context"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Elsewhere reaches the runs of the other daemons of a vault that several share. What a run has printed, and its end, only its own daemon has.
type Elsewhere interface {
	// Get gives what a run of another daemon has written from an offset on.
	Get(ctx context.Context, actor vault.Actor, record vault.Run, offset int64) (Result, error)
	// Stop ends a run of another daemon and waits for it.
	Stop(ctx context.Context, actor vault.Actor, record vault.Run) (Result, error)
}

// away tells whether another daemon has what is not in a run's record.
func (e *Engine) away(record vault.Run) bool {
	return e.o.Elsewhere != nil && record.Owner != "" && record.Owner != e.o.Self
}

// getAway asks a run's daemon. Of one that has ended, its record says enough where that daemon does not answer any more; its output is gone, as after any restart.
func (e *Engine) getAway(ctx context.Context, actor vault.Actor, record vault.Run, offset int64) (Result, error) {
	r, err := e.o.Elsewhere.Get(ctx, actor, record, offset)
	if err != nil && record.State != vault.RunRunning && fault.CodeOf(err) == fault.DaemonUnavailable {
		return ofRecord(record), nil
	}
	return r, err
}

// stopAway has a run's daemon end it, also one that was taken for lost and lives.
func (e *Engine) stopAway(ctx context.Context, actor vault.Actor, record vault.Run) (Result, error) {
	if record.State != vault.RunRunning && record.State != vault.RunLost {
		return ofRecord(record), nil
	}
	r, err := e.o.Elsewhere.Stop(ctx, actor, record)
	if err != nil && record.State == vault.RunLost && fault.CodeOf(err) == fault.DaemonUnavailable {
		return ofRecord(record), nil
	}
	return r, err
}
