package contract

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Outcome is the name under which an orchestrator knows that a contract was refused.
const Outcome = "environment_contract_invalid"

// ErrInvalid is what every refusal of this package wraps.
var ErrInvalid = errors.New("contract: invalid")

// problems are what is wrong, each one sentence without any value. Beyond maxProblems they are counted.
type problems struct {
	where string // "fragment 2", or whatever the caller named it
	list  []string
	more  int
}

func (p *problems) add(line int, format string, args ...any) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	text := fmt.Sprintf(format, args...)
	if line > 0 {
		text = fmt.Sprintf("line %d: %s", line, text)
	}
	if p.where != "" {
		text = p.where + ": " + text
	}
	p.list = append(p.list, text)
}

// err gives the refusal; nil where nothing is wrong.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	text := "the environment contract is not valid: " + strings.Join(p.list, "; ")
	if p.more > 0 {
		text += fmt.Sprintf("; and %d more", p.more)
	}
	return fault.New(fault.InvalidArgument, text, "correct the env.contract.yaml; docs/environments.md describes it").
		With("outcome", Outcome).With("problems", p.list).Because(ErrInvalid)
}
