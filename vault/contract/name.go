package contract

import (
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"

	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	upperName = lazyregexp.New(`^[A-Z_][A-Z0-9_]{0,127}$`)
	partName  = lazyregexp.New(`^[a-z][a-z0-9_-]{0,63}$`) // an environment, a consumer, a service
	ownerName = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$`)
	handle    = lazyregexp.New(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	pathShape = lazyregexp.New(`^[A-Za-z0-9_./-]{1,200}$`)
	attribute = lazyregexp.New(`^[a-z][a-z0-9_]{0,63}$`)
)

// CheckName says what is wrong with a variable's name; "" where nothing is. Capitals only: Windows does not tell case apart, and a reviewer hardly.
func CheckName(name string) string {
	switch {
	case !upperName.MatchString(name):
		return "a variable's name has capitals, digits and _, does not begin with a digit, and has at most 128 characters"
	case !policy.ProjectNameAllowed(name):
		return "the variable steers a loader, a shell, a proxy or a tool, and is not a project's to set"
	}
	return ""
}
