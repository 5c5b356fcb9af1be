package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Two flags take a passphrase, by the same names and words in every command: the vault's own, which opens a slot, and the operator's, which proves presence. Neither takes the
// passphrase itself: other programs read command lines, and a shell keeps them.
const (
	passphraseFlag = "passphrase-from"
	operatorFlag   = "operator-passphrase-from"
)

// places are what the two flags take.
const places = "ask (on the terminal), - (standard input), fd:N (a descriptor) or @FILE"

// passphraseUsage is a flag's line of help.
func passphraseUsage(what string) string { return what + ", one line from `WHERE`: " + places }

// registerPassphrase adds the flag of the vault's own passphrase.
func registerPassphrase(c *cobra.Command, into *string, what string) {
	c.Flags().StringVar(into, passphraseFlag, "", passphraseUsage(what))
}

// registerOperator adds the flag of the operator's passphrase.
func registerOperator(c *cobra.Command, into *string, what string) {
	c.Flags().StringVar(into, operatorFlag, "", passphraseUsage(what))
}

// passphrase reads one line from where a flag says. ask asks a person for it, where the flag says so. Errors: secret_missing, secret_in_argv, invalid_argument.
func (a *app) passphrase(from string, ask func() (secret.Secret, error)) (secret.Secret, error) {
	if from == "ask" {
		return ask()
	}
	f, done, err := a.placeOf(from)
	if err != nil {
		return secret.Secret{}, err
	}
	defer done()
	line, err := readLine(f, make([]byte, 0, maxTyped))
	if err != nil || len(line) == 0 {
		return secret.Secret{}, fault.New(fault.SecretMissing, "no passphrase was there to read", "it is the first line; "+exampleOfPlaces).Because(err)
	}
	return secret.New(line), nil
}

const exampleOfPlaces = "for example --" + passphraseFlag + " fd:3 3< FILE, or @FILE"

// placeOf opens what a flag names. What was typed in its place is not repeated: it may be the passphrase.
func (a *app) placeOf(from string) (f *os.File, done func(), err error) {
	name, file := strings.CutPrefix(from, "@")
	number, descriptor := strings.CutPrefix(from, "fd:")
	switch {
	case from == "-":
		return a.stdin, func() {}, nil
	case descriptor:
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return nil, nil, errPlace
		}
		if f = os.NewFile(uintptr(n), "passphrase"); f == nil {
			return nil, nil, errPlace
		}
		return f, func() { f.Close() }, nil
	case !file:
		return nil, nil, errPlace
	}
	if f, err = os.Open(name); err != nil {
		text := "a file given with @ cannot be read"
		if errors.Is(err, os.ErrNotExist) {
			text = "a file given with @ does not exist"
		}
		return nil, nil, fault.New(fault.InvalidArgument, text, "check its name").Because(err)
	}
	return f, func() { f.Close() }, nil
}

var errPlace = fault.New(fault.SecretInArgv, "a passphrase never comes in an argument: other programs can read it there",
	"say where it is: "+places+"; and change the one that you just typed, if you did")

// askPassphrase asks for a passphrase that there is, on the terminal.
func (a *app) askPassphrase(ctx context.Context, prompt string) func() (secret.Secret, error) {
	return func() (secret.Secret, error) {
		tty, done, ok := a.terminal()
		if !ok {
			return secret.Secret{}, errNoPerson
		}
		defer done()
		return a.askSecret(ctx, tty, prompt)
	}
}

// askNew asks twice for a passphrase that is to be.
func (a *app) askNew(ctx context.Context, prompt string) func() (secret.Secret, error) {
	return func() (secret.Secret, error) {
		if !a.person() {
			return secret.Secret{}, errNoPerson
		}
		return a.askNewPassphrase(ctx, prompt)
	}
}

// errNoPerson says that nobody can be asked.
var errNoPerson = fault.New(fault.SecretMissing, "there is no terminal to ask for a passphrase", "run this on a terminal of your own, or say where the passphrase is: @FILE, - or fd:N")
