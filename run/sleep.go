package run

import (
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// errLocked is the cause of a run's end when the vault is locked.
var errLocked = errors.New("run: the vault is locked")

// Sleep readies the engine for a vault that is about to be locked: it ends every run, waits until all are on record, or for ctx, and drops what it holds opened:
// matchers and connections. Until Wake it refuses everything with vault_locked. Call Forget once the keys are gone. A person's own program that runs with true values
// (--open) is theirs and goes on.
func (e *Engine) Sleep(ctx context.Context) error {
	e.mu.Lock()
	e.asleep = true
	for _, l := range e.live {
		l.cancel(errLocked)
	}
	if e.quiet == nil {
		quiet := make(chan struct{})
		e.quiet = quiet
		go func() { // ends with the last run, which has been told to
			defer close(quiet)
			e.wait.Wait()
		}()
	}
	quiet := e.quiet
	e.mu.Unlock()
	defer e.Forget()
	select {
	case <-quiet:
		e.reseal() // while there is a key
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Forget drops matchers and connections.
func (e *Engine) Forget() {
	e.pool.ForgetAll()
	e.Changed()
}

// Wake lets runs begin again, once the vault is unlocked and answers. What was told of a person's own runs meanwhile is recorded now. Error: busy, while a run that
// Sleep ended has not come to its end.
func (e *Engine) Wake(ctx context.Context) error {
	e.mu.Lock()
	if e.quiet != nil {
		select {
		case <-e.quiet:
			e.quiet = nil
		default:
			e.mu.Unlock()
			return fault.New(fault.Busy, "a run of before the vault was locked has not ended yet", "try again in a moment")
		}
	}
	late := e.late
	e.late = nil
	e.mu.Unlock()
	if !e.shelf.loaded() {
		e.loadShelf()
	}
	for _, record := range late {
		if err := e.o.Authority.EndRun(ctx, record); err != nil {
			e.o.Log.Error("the end of a person's run could not be recorded", "run", record.ID, "code", string(fault.CodeOf(err)))
		}
	}
	e.mu.Lock()
	e.asleep = false
	e.mu.Unlock()
	return nil
}

// Busy tells whether runs are under way, a person's own included.
func (e *Engine) Busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.live)+len(e.open) > 0
}

// Fleeting tells whether changes are held that would go with the engine.
func (e *Engine) Fleeting() bool {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	for _, h := range e.shelf.held {
		if !h.told().Lasting {
			return true
		}
	}
	return false
}

// refused runs under mu: nothing begins while the engine sleeps or ends.
func (e *Engine) refused() error {
	switch {
	case e.shut:
		return shuttingDown()
	case e.asleep:
		return vault.ErrLocked()
	}
	return nil
}

// busied takes part in what Sleep waits for; done ends it.
func (e *Engine) busied() (done func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.asleep {
		return nil, vault.ErrLocked()
	}
	if e.shut {
		return func() {}, nil
	}
	e.wait.Add(1)
	return e.wait.Done, nil
}

// reported records how a person's own run ended, or keeps that while the vault is locked.
func (e *Engine) reported(ctx context.Context, record vault.Run) error {
	err := e.o.Authority.EndRun(ctx, record)
	if fault.CodeOf(err) != fault.VaultLocked {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late = append(e.late, record) // at most one for each that was open
	return nil
}
