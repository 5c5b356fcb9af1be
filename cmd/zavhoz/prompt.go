package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"golang.org/x/term"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// askSecret asks on the terminal without echo.
func (a *app) askSecret(prompt string) (secret.Secret, error) {
	fmt.Fprint(a.stderr, prompt)
	b, err := term.ReadPassword(int(a.stdin.Fd()))
	fmt.Fprintln(a.stderr)
	if err != nil {
		return secret.Secret{}, fault.New(fault.Canceled, "nothing was entered", "").Because(err)
	}
	return secret.New(b), nil
}

// askYes asks a question whose answer is no unless it is yes.
func (a *app) askYes(question string) bool {
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	line, _ := bufio.NewReader(a.stdin).ReadString('\n')
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}

// provePresence asks for the operator's passphrase and gives it to the daemon, which then remembers this terminal for five minutes.
func (a *app) provePresence(ctx context.Context, c *client) error {
	s, err := a.askSecret("Operator passphrase: ")
	if err != nil {
		return err
	}
	return c.sendPassphrase(ctx, "POST", s)
}

// sendPassphrase proves (POST) or sets (PUT) the passphrase; it wipes s.
func (c *client) sendPassphrase(ctx context.Context, method string, s secret.Secret) error {
	defer s.Wipe()
	quoted := api.Quote(s)
	defer clear(quoted)
	return c.call(ctx, method, path("presence"), map[string]any{"passphrase": quoted}, nil)
}

// askNewPassphrase asks twice. Empty means none.
func (a *app) askNewPassphrase() (secret.Secret, error) {
	for {
		first, err := a.askSecret("Operator passphrase (empty for none): ")
		if err != nil || first.IsZero() {
			return first, err
		}
		again, err := a.askSecret("The same again: ")
		if err != nil {
			first.Wipe()
			return again, err
		}
		same := first.Equal(again)
		again.Wipe()
		if same && first.Len() >= minPassphrase {
			return first, nil
		}
		first.Wipe()
		if same {
			fmt.Fprintf(a.stderr, "At least %d characters, please.\n", minPassphrase)
		} else {
			fmt.Fprintln(a.stderr, "They differ; once more.")
		}
	}
}

// minPassphrase is the shortest operator passphrase, in bytes.
const minPassphrase = 8
