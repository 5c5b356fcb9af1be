package run

import (
	"errors"
	"os"
)

// own fails: no command starts here.
func own(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
