package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// minPassphrase is the shortest operator passphrase, in bytes.
const minPassphrase = 8

// maxTyped is the longest line that a terminal hands over, in bytes.
const maxTyped = 4096

// person tells whether somebody sits at a terminal who can be asked: standard input and standard error are one.
func (a *app) person() bool {
	return term.IsTerminal(int(a.stdin.Fd())) && isTerminal(a.stderr)
}

// terminal is where a passphrase is asked for: standard input, or where that brings a file, the terminal itself. Standard error must be a terminal
// too: a program that captures it (an agent's shell) must not make a question appear in front of a person who did not ask for it.
func (a *app) terminal() (f *os.File, done func(), ok bool) {
	if !isTerminal(a.stderr) {
		return nil, nil, false
	}
	if term.IsTerminal(int(a.stdin.Fd())) {
		return a.stdin, func() {}, true
	}
	f, err := os.OpenFile(console, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, false
	}
	return f, func() { f.Close() }, true
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// askSecret asks without echo. An interrupt gives the terminal back as it was.
func (a *app) askSecret(ctx context.Context, tty *os.File, prompt string) (secret.Secret, error) {
	restore, err := hide(tty)
	if err != nil {
		return secret.Secret{}, nothingEntered(err)
	}
	defer restore()
	defer a.line.ask(a.stderr)()
	fmt.Fprint(a.stderr, prompt)
	type answer struct {
		b   []byte
		err error
	}
	answers := make(chan answer, 1)
	go func() { // it stays behind in a read that nothing can end, until the program does
		b, err := readLine(tty, make([]byte, 0, maxTyped))
		answers <- answer{b, err}
	}()
	select {
	case got := <-answers:
		fmt.Fprintln(a.stderr)
		if got.err != nil {
			return secret.Secret{}, nothingEntered(got.err)
		}
		return secret.New(got.b), nil
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return secret.Secret{}, nothingEntered(ctx.Err())
	}
}

func nothingEntered(err error) error {
	return fault.New(fault.Canceled, "nothing was entered", "").Because(err)
}

// askYes asks a question whose answer is no unless it is yes. It reads no byte beyond the line: what follows may be meant for another question.
func (a *app) askYes(ctx context.Context, question string) bool {
	defer a.line.ask(a.stderr)()
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answers := make(chan string, 1)
	go func() {
		b, _ := readLine(a.stdin, make([]byte, 0, maxTyped)) // its end is as good as a no
		answers <- string(b)
	}()
	select {
	case line := <-answers:
		line = strings.ToLower(strings.TrimSpace(line))
		return line == "y" || line == "yes"
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return false
	}
}

// readLine reads into line, which has room for all of it: growing would leave copies behind. It does nothing to the terminal's state, so that it can be left
// behind in its read.
func readLine(r io.Reader, line []byte) ([]byte, error) {
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return bytes.TrimSuffix(line, []byte("\r")), nil
		case n == 1 && len(line) < cap(line):
			line = append(line, b[0])
		case err != nil && len(line) == 0:
			return nil, err
		case err != nil:
			return line, nil
		}
	}
}

// provePresence asks for the operator's passphrase and gives it to the daemon, which then remembers this terminal for five minutes. A wrong one may
// be given three times.
func (a *app) provePresence(ctx context.Context, c *client) error {
	tty, done, ok := a.terminal()
	if !ok {
		return errNobody
	}
	defer done()
	var ch api.Challenge
	if err := c.plain(ctx, "POST", path("presence", "challenge"), nil, &ch); err != nil {
		return err
	}
	if len(ch.File) > 0 {
		s, err := a.answer(ctx, ch, keyring.ToProve)
		if err != nil {
			return err
		}
		return c.sendProof(ctx, "POST", "answer", s)
	}
	for try := 1; ; try++ {
		s, err := a.askSecret(ctx, tty, "Operator passphrase: ")
		if err != nil {
			return err
		}
		err = c.sendPassphrase(ctx, "POST", s)
		if fault.CodeOf(err) != fault.PresenceRequired || try == 3 {
			return err
		}
		fmt.Fprintln(a.stderr, "That is not it.")
	}
}

// errNobody says that there is no terminal to ask at: the daemon's refusal stands.
var errNobody = errors.New("nobody to ask")

// sendPassphrase proves (POST) or sets (PUT) the passphrase; it wipes s.
func (c *client) sendPassphrase(ctx context.Context, method string, s secret.Secret) error {
	return c.sendProof(ctx, method, "passphrase", s)
}

func (c *client) sendProof(ctx context.Context, method, name string, s secret.Secret) error {
	defer s.Wipe()
	quoted := api.Quote(s)
	defer clear(quoted)
	in := map[string]any{name: quoted}
	if method == "POST" {
		return c.plain(ctx, method, path("presence"), in, nil)
	}
	return c.call(ctx, method, path("presence"), in, nil)
}

// askNewPassphrase asks twice. Empty means none, where that is offered.
func (a *app) askNewPassphrase(ctx context.Context, prompt string) (secret.Secret, error) {
	for {
		first, err := a.askSecret(ctx, a.stdin, prompt)
		if err != nil || first.IsZero() {
			return first, err
		}
		if first.Len() < minPassphrase {
			first.Wipe()
			fmt.Fprintf(a.stderr, "At least %d characters, please.\n", minPassphrase)
			continue
		}
		again, err := a.askSecret(ctx, a.stdin, "The same again: ")
		if err != nil {
			first.Wipe()
			return again, err
		}
		same := first.Equal(again)
		again.Wipe()
		if same {
			return first, nil
		}
		first.Wipe()
		fmt.Fprintln(a.stderr, "They differ; once more.")
	}
}
