package backend

import "context"

// Turn is a mutex that is given in the order in which it was asked for, and that a context can give up asking for.
type Turn chan struct{}

// NewTurn is free.
func NewTurn() Turn { return make(Turn, 1) }

// Wait takes it, or gives the context's error.
func (t Turn) Wait(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Take waits for as long as it takes.
func (t Turn) Take() { t <- struct{}{} }

// Give lets the next one have it.
func (t Turn) Give() { <-t }
