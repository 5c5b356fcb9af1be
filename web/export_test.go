package web

import "context"

// SitAt puts a connection at a made-up seat: the real ones need terminals, and the command line's tests have them.
func SitAt(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, placeKey{}, place{seat: seat{tty: n, session: n, parent: n, parentStart: uint64(n)}})
}
