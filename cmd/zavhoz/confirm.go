package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// consent is the flag --yes of a command that takes away what does not come back, and the question in its place.
type consent struct{ yes bool }

func (s *consent) register(c *cobra.Command) {
	c.Flags().BoolVarP(&s.yes, "yes", "y", false, "do not ask; needed where no terminal is there to ask at")
}

// agreed asks a person before anything is taken away. A script has to say --yes: what it deletes by mistake, nobody would have seen. An end of standard
// input is no consent.
func (a *app) agreed(ctx context.Context, s consent, question string) error {
	switch {
	case s.yes:
		return nil
	case !a.person():
		return fault.New(fault.InvalidArgument, "this takes away what does not come back, and there is no terminal to ask at", "give --yes where it is meant; nothing was changed")
	case !a.askYes(ctx, question):
		return fault.New(fault.Canceled, "nothing was changed", "")
	}
	return nil
}
