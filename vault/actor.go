package vault

import (
	"github.com/zavhoz/zavhoz/vault/audit"
)

// Actor is who acts; see audit.Actor. Doors make it, everything else passes it on.
type Actor = audit.Actor

// OperatorActor is a person (or their program) at the operator's door.
func OperatorActor() Actor {
	return Actor{Type: audit.Operator, Name: "operator", Door: "operator"}
}

// SystemActor is zavhoz itself, by the part that acts ("sync", "start").
func SystemActor(part string) Actor {
	return Actor{Type: audit.System, Name: part, Door: "internal"}
}
