package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen prints the transcript in two columns, as wide as the terminal.
type screen struct{ left, right int }

func newScreen() *screen {
	width := 120
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w >= 80 {
		width = min(w, 160)
	}
	left := (width - 3) * 3 / 5
	return &screen{left: left, right: width - 3 - left}
}

func (s *screen) title(text string) { fmt.Printf("\n── %s ──\n\n", text) }

// person prints one command and its output.
func (s *screen) person(args []string, out string) {
	fmt.Printf("  $ zavhoz %s\n", strings.Join(args, " "))
	for line := range strings.Lines(strings.TrimSpace(out)) {
		fmt.Printf("    %s\n", strings.TrimRight(line, "\n"))
	}
}

func (s *screen) columns(left, right string) {
	s.row(left, right)
	fmt.Println(strings.Repeat("─", s.left) + "─┼─" + strings.Repeat("─", s.right))
}

// act prints one call: the model's words and the reply on the left, what arrived on the right.
func (s *screen) act(a act, reply string, received []string) {
	args, _ := json.Marshal(a.args)
	left := wrap("» "+a.say, s.left)
	left = append(left, wrap("  "+a.tool+" "+string(args), s.left)...)
	for line := range strings.Lines(reply) {
		left = append(left, wrap("  │ "+strings.TrimRight(line, "\n"), s.left)...)
	}
	var right []string
	for _, r := range received {
		right = append(right, wrap("← "+r, s.right)...)
	}
	if len(received) == 0 && a.fails {
		right = []string{"(nothing)"}
	}
	for i := range max(len(left), len(right)) {
		s.row(at(left, i), at(right, i))
	}
	s.row("", "")
}

func (s *screen) row(left, right string) {
	pad := max(0, s.left-utf8.RuneCountInString(left))
	fmt.Println(left + strings.Repeat(" ", pad) + " │ " + right)
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// wrap cuts text into lines of at most width characters.
func wrap(text string, width int) (out []string) {
	r := []rune(text)
	for len(r) > width {
		out = append(out, string(r[:width]))
		r = append([]rune("    "), r[width:]...)
	}
	return append(out, string(r))
}

// verdict looks for the secrets in everything that the client received, in the usual encodings, and prints the last line.
func (st *stage) verdict(m *model) error {
	found := 0
	body := strings.Join(strings.Fields(strings.ReplaceAll(string(st.machine.key), "-----", "\n")), "\n")
	secrets := []string{st.token, st.login, "127.0.0.1:" + fmt.Sprint(st.machine.port)}
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); len(line) > 20 {
			secrets = append(secrets, line)
		}
	}
	for _, s := range append(secrets, st.sim.Passwords()...) {
		for _, form := range []string{s, reversed(s), hex.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)), url.QueryEscape(s)} {
			found += bytes.Count(m.received.Bytes(), []byte(form)) * len(s)
		}
	}
	sshd := "a small SSH server of the demo's own (no sshd on this machine)"
	if st.machine.real {
		sshd = "a real sshd"
	}
	fmt.Printf("The client received %d bytes; the services were a real TLS server and %s.\n", m.received.Len(), sshd)
	fmt.Printf("Secret bytes found in the transcript: %d\n", found)
	if found > 0 {
		return fmt.Errorf("%d secret bytes reached the client", found)
	}
	return nil
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
