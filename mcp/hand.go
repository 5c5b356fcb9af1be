package mcp

import (
	"context"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// How often and how long another server is tried. All tries together take no longer than a question to a person is open (Limits.AskTimeout).
const (
	handTries = 3
	handTime  = 8 * time.Second        // of one try
	handPause = 250 * time.Millisecond // after the first; times the tries so far
)

// again does what does no harm where it is done twice until it succeeds, was tried often enough, or nobody waits for it any more: who sent an answer or a cancel may not send it a second time.
// What was refused for naming nothing that is there is not tried again.
func (s *Server) again(ctx context.Context, do func(context.Context) error) error {
	for try := 1; ; try++ {
		err := within(ctx, handTime, do)
		if err == nil || try == handTries || fault.CodeOf(err) == errNoSession.Code {
			return err
		}
		select {
		case <-time.After(time.Duration(try) * handPause):
		case <-ctx.Done():
			return err
		case <-s.ended:
			return err
		}
	}
}

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}
