package main

import (
	"context"
	"fmt"
	"strings"

	"filippo.io/age/plugin"

	"github.com/zavhoz/zavhoz/vault/keyring"
)

// personUI passes a plugin's words on to the person at the terminal, and what they type back. Age's own shows a prompt before it turns the echo off: who types at once would be seen.
func (a *app) personUI(ctx context.Context) *plugin.ClientUI {
	say := func(name, text string) { fmt.Fprintf(a.stderr, "age-plugin-%s: %s\n", plain(name), plain(text)) }
	return &plugin.ClientUI{
		DisplayMessage: func(name, message string) error {
			say(name, message)
			return nil
		},
		RequestValue: func(_, prompt string, secret bool) (string, error) {
			tty, done, ok := a.terminal()
			if !ok {
				return "", keyring.ErrAsks
			}
			defer done()
			if !secret {
				fmt.Fprint(a.stderr, plain(prompt)+" ")
				line, err := readLine(tty, make([]byte, 0, maxTyped))
				return string(line), err
			}
			s, err := a.askSecret(ctx, tty, plain(prompt)+" ")
			if err != nil {
				return "", err
			}
			defer s.Wipe()
			return string(s.Reveal()), nil
		},
		Confirm: func(_, prompt, yes, no string) (bool, error) {
			tty, done, ok := a.terminal()
			if !ok {
				return false, keyring.ErrAsks
			}
			defer done()
			for {
				fmt.Fprintf(a.stderr, "%s [%s] ", plain(prompt), plain(strings.Trim(yes+"/"+no, "/")))
				line, err := readLine(tty, make([]byte, 0, maxTyped))
				switch answer := strings.TrimSpace(string(line)); {
				case err != nil:
					return false, err
				case no == "", strings.EqualFold(answer, yes):
					return true, nil
				case strings.EqualFold(answer, no):
					return false, nil
				}
			}
		},
		WaitTimer: func(name string) { say(name, "it works, or waits for a touch") },
	}
}

// nobodyUI answers a plugin where nobody is there, and remembers that it asked. What it only tells is heard by nobody.
func nobodyUI(asked *bool) *plugin.ClientUI {
	return &plugin.ClientUI{
		DisplayMessage: func(string, string) error { return nil },
		RequestValue: func(string, string, bool) (string, error) {
			*asked = true
			return "", keyring.ErrAsks
		},
		Confirm: func(string, string, string, string) (bool, error) {
			*asked = true
			return false, keyring.ErrAsks
		},
	}
}
