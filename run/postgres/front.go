package postgres

import (
	"errors"
	"net"
)

// Front serves one database resource to one run. Make it by New.
type Front struct {
	o Options
}

// New opens the URL once and checks that it can be served, so that a run fails before it starts and not at its first query.
// Errors: secret_invalid, not_supported, those of Options.URL; a missing option is a defect of the caller.
func New(o Options) (*Front, error) { return &Front{o: o}, nil }

// URL is what the child gets in place of the resource's URL: addr is host:port of the listener as the child sees it.
func (f *Front) URL(addr string) string { return "" }

// Serve answers connections until Close; then it gives nil. It may be called for several listeners, and closes them.
func (f *Front) Serve(l net.Listener) error { return errors.ErrUnsupported }

// Close ends every connection, cancels what they have running upstream, and waits.
func (f *Front) Close() error { return nil }
