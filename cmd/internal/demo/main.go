// Command demo plays the main job of Zavhoz as one real session: it makes a throwaway vault, puts credentials and a server into it as a person would,
// starts the stdio door as an LLM client would, and calls the tools. What the model sees and what the services received stand side by side.
//
// Promise: every line of the transcript is what really crossed the wire. The last line counts the secret bytes found in everything that the client received,
// in any of the usual encodings; it is 0, or the program fails.
//
// Nothing here is kept: the home, the keys and the services go when it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "forecast" {
		os.Exit(forecast(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := play(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// play is the whole evening.
func play(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "zvdemo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := binary(ctx, dir)
	if err != nil {
		return err
	}
	st, err := newStage(ctx, dir, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if err := st.prepare(ctx); err != nil {
		return err
	}
	if err := st.session(ctx); err != nil {
		return err
	}
	if os.Getenv("ONCE") != "" {
		return nil
	}
	return st.serve(ctx)
}

// binary is the zavhoz to show: the one that make built, or a fresh one.
func binary(ctx context.Context, dir string) (string, error) {
	if b := os.Getenv("ZAVHOZ_BIN"); b != "" {
		return filepath.Abs(b)
	}
	out := filepath.Join(dir, "zavhoz")
	return out, goBuild(ctx, out, "./cmd/zavhoz")
}
