package process

import "os"

// readNow is never asked here: a pipe has no deadline, and the job ends all that could hold it.
func readNow(*os.File, []byte) (int, error) { return 0, os.ErrDeadlineExceeded }
