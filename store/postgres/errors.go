package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zavhoz/zavhoz/store"
)

// failed is what went wrong with the database, in our own words: PostgreSQL's may hold a key, a value or an address.
type failed struct {
	state  string // SQLSTATE, "" where the server did not answer
	kind   error  // a sentinel of package store, or nil
	unsure bool   // the statement may have been done, or may yet be
	again  bool   // it was not done, and the same may go through now
	ctx    error  // why our own context ended, or nil
}

// Error gives the sentinel's words and the SQLSTATE.
func (f *failed) Error() string {
	switch {
	case f.ctx != nil:
		return "postgres: " + f.ctx.Error()
	case f.state == "":
		return fmt.Sprintf("postgres: %v", f.kind)
	case f.kind == nil:
		return "postgres: SQLSTATE " + f.state
	}
	return fmt.Sprintf("postgres: %v (SQLSTATE %s)", f.kind, f.state)
}

// Unwrap gives the sentinel and the context's error.
func (f *failed) Unwrap() []error {
	var all []error
	for _, err := range []error{f.kind, f.ctx} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// states are the SQLSTATEs that mean something of ours; of two characters: a class.
var states = map[string]failed{
	"53100": {kind: store.ErrFull},
	"53300": {kind: store.ErrUnavailable, again: true}, // too many connections
	"53":    {kind: store.ErrUnavailable},
	"57P01": {kind: store.ErrUnavailable, unsure: true, again: true}, // the server is stopped, or somebody ended the session
	"57P02": {kind: store.ErrUnavailable, unsure: true, again: true},
	"57P03": {kind: store.ErrUnavailable, again: true}, // it starts, or stops
	"57P05": {kind: store.ErrUnavailable, unsure: true, again: true},
	"57":    {kind: store.ErrUnavailable},
	"25P03": {kind: store.ErrUnavailable, unsure: true, again: true}, // idle in a transaction for too long
	"25006": {kind: store.ErrReadOnly, again: true},                  // a standby: the address may lead to the new primary by now
	"40":    {kind: store.ErrUnavailable, again: true},               // serialization, deadlock
	"55P03": {kind: store.ErrUnavailable, again: true},               // the lock was not to be had in time
	"28":    {kind: store.ErrDenied},
	"42501": {kind: store.ErrDenied},
	"3D":    {kind: store.ErrDenied}, // no such database
	"3F":    {kind: store.ErrNotFound},
	"42P01": {kind: store.ErrNotFound},
	"42703": {kind: store.ErrFormat},
	"XX001": {kind: store.ErrCorrupt},
	"XX002": {kind: store.ErrCorrupt},
	"58":    {kind: store.ErrUnavailable},
	"08":    {kind: store.ErrUnavailable, unsure: true, again: true},
	"54000": {kind: store.ErrTooLarge},
}

// failure says in our own words what err is; nil stays nil. Errors of this package and of package store pass.
func failure(ctx context.Context, err error) error {
	var own *failed
	if err == nil || errors.As(err, &own) || errors.Is(err, store.ErrFormat) {
		return err
	}
	for _, plain := range []error{ErrOld, ErrRole} { // without what pgx says around it
		if errors.Is(err, plain) {
			return plain
		}
	}
	var dial *pgconn.ConnectError
	connecting := errors.As(err, &dial)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		f, ok := states[pg.Code]
		if !ok && len(pg.Code) == 5 {
			f, ok = states[pg.Code[:2]]
		}
		f.state = pg.Code
		if !ok {
			f.kind = store.ErrCorrupt // a constraint, a type: not the tables that we made
			if pg.Code == "" || pg.Code[0] == 'X' {
				f.kind = store.ErrUnavailable
			}
		}
		f.unsure = !connecting && (f.unsure || pg.Severity == "FATAL")
		return &f
	}
	f := &failed{kind: store.ErrUnavailable, unsure: !connecting && !pgconn.SafeToRetry(err), again: true}
	if ctx.Err() != nil {
		f.ctx, f.again = ctx.Err(), false
	}
	return f
}

// may tells whether the same may go through now; unsure whether what failed may have been done.
func may(err error) bool {
	var f *failed
	return errors.As(err, &f) && f.again
}

func unsure(err error) bool {
	var f *failed
	return errors.As(err, &f) && f.unsure
}

// errCrowded: every connection for Views is held by one.
var errCrowded = &failed{kind: store.ErrUnavailable}
