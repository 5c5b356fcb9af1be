package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// examineKeys tells how many slots there are, what weakens them, and whether a rotation waits.
func (a *app) examineKeys(ctx context.Context, f *findings) {
	k, err := a.keys(ctx)
	note := count(len(k.Slots), "slot") + " open the vault"
	if len(k.Slots) == 1 {
		note = "1 slot opens the vault"
	}
	if !f.add("keys", note, err) {
		return
	}
	c := &f.Checks[len(f.Checks)-1]
	if len(k.Warnings) > 0 {
		c.Warning, c.Note, c.Next = true, c.Note+"; "+strings.Join(k.Warnings, "; "), keyNext(len(k.Slots))
	}
	switch r := k.Rotation; {
	case r == nil:
	case r.Code != "":
		f.add("rotation", "", fault.New(fault.Code(r.Code), "the rotation of the data key does not get on: "+r.Message, r.Next))
	default:
		f.add("rotation", fmt.Sprintf("of the data key, under way: %s", rotationLine(*r)), nil)
	}
}

// keyNext says what mends a warning: one slot alone wants a second, weak ones beside strong ones want none more.
func keyNext(slots int) string {
	if slots == 1 {
		return "add a recipient for recovery: `zavhoz key add`"
	}
	return "`zavhoz key list` shows them"
}
