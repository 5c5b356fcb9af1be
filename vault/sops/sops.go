// Package sops makes SOPS files a home of secrets: read live, written back in place, made anew for other people.
//
// Promise: a file counts only if its MAC holds under a data key that one of our identities unwraps. A changed file is taken whole or not at all; what is
// broken leaves the last good set in force, and says so. A write keeps order, comments, clear keys, rules, recipients, owner and mode, and is there
// whole or not at all, whatever fails on the way. Plaintext lives in memory only.
//
// Attacks stopped: SOPS's 190 cloud packages in the process that holds the keys (they are in the helper zavhoz-sops, which never gets an identity); a
// file changed by somebody without the key (MAC), or put there by somebody else altogether: anybody can make a file for a public recipient, so one
// that others may write is refused (threat-model.md 72); links that lead a write elsewhere; plaintext in temporary files, and secrets in clear by rules that
// somebody without the key changed (66); giant and nested input (67).
//
// What it does not do: SOPS authenticates no names of what is in clear (Proof says what it does), and no whole history. Who may write as us can put back an older version of the file, and it is taken for a change.
// Neither extended attributes nor access lists of a file survive a write. SOPS's format has no anchors: a file with some is refused.
package sops

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// HelperName is the program beside zavhoz that reads and writes the format.
const HelperName = "zavhoz-sops"

// defaultTimeout bounds one piece of work of the helper.
const defaultTimeout = 60 * time.Second

// maxHelpers work at once: each may take a multiple of its file in memory.
const maxHelpers = 2

// Options of a Codec.
type Options struct {
	Helper  string        // path of zavhoz-sops; "" for the one beside this program
	Timeout time.Duration // of one operation; 0 for a minute
	// Recipient makes a recipient of a text that is neither an age1… of age's own nor an ssh key: plugins. May be nil: such are refused.
	Recipient func(text string) (age.Recipient, error)
}

// Codec reads and writes SOPS files in memory. It may be used by many goroutines.
type Codec struct {
	o    Options
	free chan struct{}
}

// New makes a Codec. Whether the helper is there shows when it is needed, or by Check.
func New(o Options) *Codec {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	return &Codec{o: o, free: make(chan struct{}, maxHelpers)}
}

// Check starts the helper once: fault not_supported if it is missing or of another version, not_permitted if others may change it.
func (c *Codec) Check(ctx context.Context) error {
	return c.with(ctx, func(*talk) error { return nil })
}

// helperPath finds the helper.
func (c *Codec) helperPath() (string, error) {
	if c.o.Helper != "" {
		return c.o.Helper, nil
	}
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", missingHelper("").Because(err)
	}
	name := HelperName
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

// with runs fn with a helper of its own, within the time that there is.
func (c *Codec) with(ctx context.Context, fn func(*talk) error) error {
	ctx, stop := context.WithTimeout(ctx, c.o.Timeout)
	defer stop()
	select {
	case c.free <- struct{}{}:
		defer func() { <-c.free }()
	case <-ctx.Done():
		return late(ctx)
	}
	t, err := c.start(ctx)
	if err != nil {
		return err
	}
	err = fn(t)
	if end := t.close(err == nil); err == nil {
		err = end
	}
	if err != nil && ctx.Err() != nil {
		return late(ctx)
	}
	return err
}

func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.TimedOut, "the SOPS file took too long", "try again; `zavhoz doctor` checks the installation").Because(ctx.Err())
	}
	return fault.New(fault.Canceled, "canceled", "").Because(ctx.Err())
}

// Inspect gives what a file says of itself without a key: nothing of it is authenticated.
func (c *Codec) Inspect(ctx context.Context, name string, file []byte) (i wire.Info, err error) {
	err = c.with(ctx, func(t *talk) error {
		i, err = t.inspect(name, file)
		return err
	})
	return i, err
}

// Open verifies a file and gives its plain content; the caller wipes it. name is for the format, by its ending, and for messages.
// Errors: wrong_identity, record_tampered (MAC, values), invalid_argument (no SOPS file, broken), too_large, not_supported (binary, anchors).
func (c *Codec) Open(ctx context.Context, name string, file []byte, ids []age.Identity) (i wire.Info, tree wire.Tree, err error) {
	err = c.with(ctx, func(t *talk) error {
		if i, err = t.inspect(name, file); err != nil {
			return err
		}
		key, err := t.unwrap(i, ids)
		if err != nil {
			return err
		}
		defer key.Wipe()
		tree, err = ask(t, wire.OpOpen, wire.EncodeKey(key), wire.DecodeTree)
		return err
	})
	return i, tree, err
}

// Edit gives the file with changes made, new MAC and time. Values that stay keep their ciphertext. It neither keeps nor wipes changes.
// Errors: those of Open; not_supported where a Sealed value would stand in clear.
func (c *Codec) Edit(ctx context.Context, name string, file []byte, ids []age.Identity, changes []wire.Change) (out []byte, err error) {
	err = c.with(ctx, func(t *talk) error {
		i, err := t.inspect(name, file)
		if err != nil {
			return err
		}
		if i.Documents != 1 {
			return fault.New(fault.NotSupported, "a YAML file of several documents is not written", "keep one document a file")
		}
		key, err := t.unwrap(i, ids)
		if err != nil {
			return err
		}
		defer key.Wipe()
		if out, err = ask(t, wire.OpEdit, wire.EditRequest{Key: key, Changes: changes}.Encode(), wire.DecodeFile); err != nil {
			return err
		}
		for _, c := range changes {
			if shows(out, file, c.Path, c.Value) {
				out = nil
				return staysClear(t.file())
			}
		}
		return nil
	})
	return out, err
}
