package bolt

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/zavhoz/zavhoz/store"
)

// lockPoll is how often a held lock is tried again.
const lockPoll = 10 * time.Millisecond

// lock takes the file for this process, shared when reading only. It goes with the handle, and with the process if that dies.
func lock(ctx context.Context, f *os.File, opts Options) error {
	wait := opts.LockTimeout
	if wait == 0 {
		wait = lockTimeout
	}
	deadline := time.NewTimer(max(wait, 0))
	defer deadline.Stop()
	retry := time.NewTicker(lockPoll)
	defer retry.Stop()
	for {
		held, err := tryLock(f, !opts.ReadOnly)
		if err != nil {
			return fmt.Errorf("bolt: lock: %w", err)
		}
		if held {
			return nil
		}
		if wait < 0 {
			return store.ErrBusy
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return store.ErrBusy
		case <-retry.C:
		}
	}
}
