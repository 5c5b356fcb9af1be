// Package fault is the one registry of error codes, and the error that every door shows.
//
// Promise: what an agent, a caller of the API or a person at a terminal sees of a failure is a stable code, a sentence of ours
// and the next step; never the text of a backend, a provider or a parser, for such texts hold what they were given.
//
// Attack stopped: secrets that leave in error texts (threat-model.md 65): a *Error shows only Message and Next. The cause it wraps is for
// errors.Is inside the program; Error() does not print it, and logs record only the cause's type (see Cause).
package fault

import (
	"errors"
	"fmt"
)

// Error is a failure that may be shown. Message and Next are our own words: they may name handles, fields, hosts that the reader
// may see, counts and limits; never a value that came from outside unchecked.
type Error struct {
	Code    Code
	Message string         // one sentence, no final full stop, lower case
	Next    string         // what to do now: a call for a model, a command for a person; may be empty
	Details map[string]any // small, public, JSON-safe; e.g. required_ram_mb, retry_after_s
	cause   error
}

// New makes an Error. It panics on a code that is not registered: codes are public, a typo is a defect.
func New(code Code, message, next string) *Error {
	if _, ok := registry[code]; !ok {
		panic("fault: unregistered code")
	}
	return &Error{Code: code, Message: message, Next: next}
}

// Newf is New with a formatted message and no next step.
func Newf(code Code, format string, args ...any) *Error {
	return New(code, fmt.Sprintf(format, args...), "")
}

// WithNext gives a copy with the next step set.
func (e *Error) WithNext(format string, args ...any) *Error {
	c := *e
	c.Next = fmt.Sprintf(format, args...)
	return &c
}

// With gives a copy with one more detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = make(map[string]any, len(e.Details)+1)
	for k, v := range e.Details {
		c.Details[k] = v
	}
	c.Details[key] = value
	return &c
}

// Because gives a copy that wraps a cause, for errors.Is and errors.As; its text is never shown.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Error gives "code: message (next)".
func (e *Error) Error() string {
	if e.Next == "" {
		return string(e.Code) + ": " + e.Message
	}
	return string(e.Code) + ": " + e.Message + " (" + e.Next + ")"
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, fault.New(code, …)) compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Of finds the *Error in err's chain. An error that has none becomes CodeInternal with a fixed sentence that holds nothing of it.
// Of(nil) is nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(Internal, "something went wrong inside zavhoz", "see the daemon's log; `zavhoz doctor` checks the installation").Because(err)
}

// CodeOf is Of(err).Code; "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return Of(err).Code
}

// Cause names the types of the error chain, outermost first, for logs: types and places never hold a value.
func Cause(err error) string {
	s := ""
	for e := err; e != nil; e = errors.Unwrap(e) {
		if s != "" {
			s += " < "
		}
		s += fmt.Sprintf("%T", e)
	}
	return s
}
