package bolt

import (
	"errors"
	"strings"
	"sync/atomic"

	berrors "go.etcd.io/bbolt/errors"
)

// tripwire is the logger that bbolt is given. It prints nothing. While a commit runs it turns bbolt's report of an error into a
// panic that carries the error, for two reasons: bbolt reports before it rolls back, and that rollback walks the whole file in a
// goroutine of its own, where a mapping fault ends the process; and bbolt's wrapping loses which error it was (%s of ENOSPC).
//
// A full disk is the exception, where the file is sound: without that rollback the pages that the commit had taken for itself stay taken, and after a
// few such commits not even a removal finds one.
type tripwire struct {
	armed atomic.Bool
	sound func() bool // a check of the whole file
	full  error       // what the commit failed with, if bbolt may roll it back
}

// tripped is what the panic carries.
type tripped struct{ cause error }

// errStopped stands for a report that carried no error.
var errStopped = errors.New("bolt: bbolt gave up the commit")

// Errorf stops a commit.
func (t *tripwire) Errorf(format string, args ...any) {
	if !t.armed.Load() || t.full != nil {
		return
	}
	cause := errStopped
	if strings.Contains(format, "maximum db size") { // reported before the error is made
		cause = berrors.ErrMaxSizeReached
	}
	for _, a := range args {
		if err, ok := a.(error); ok {
			cause = err
		}
	}
	if isFull(cause) && t.sound() {
		t.full = cause
		return
	}
	panic(tripped{cause})
}

// Error does nothing, as do all below: bbolt's lines hold keys.
func (t *tripwire) Error(...any) {}

// Debug does nothing.
func (t *tripwire) Debug(...any) {}

// Debugf does nothing.
func (t *tripwire) Debugf(string, ...any) {}

// Info does nothing.
func (t *tripwire) Info(...any) {}

// Infof does nothing.
func (t *tripwire) Infof(string, ...any) {}

// Warning does nothing.
func (t *tripwire) Warning(...any) {}

// Warningf does nothing.
func (t *tripwire) Warningf(string, ...any) {}

// Fatal does nothing: the default would end the process.
func (t *tripwire) Fatal(...any) {}

// Fatalf does nothing.
func (t *tripwire) Fatalf(string, ...any) {}

// Panic does nothing.
func (t *tripwire) Panic(...any) {}

// Panicf does nothing.
func (t *tripwire) Panicf(string, ...any) {}
