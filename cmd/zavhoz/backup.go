package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// backedUp is what backup tells.
type backedUp struct {
	backup.Report
	File     string     `json:"file"`     // "-": standard output
	Verified string     `json:"verified"` // opened, hashed: see verified
	Warning  string     `json:"warning,omitempty"`
	slots    []api.Slot // the vault's, to name recipients by
}

func newBackup(a *app) *cobra.Command {
	var to []string
	var force bool
	c := &cobra.Command{
		Use: "backup FILE|-", Short: "Write the whole vault as one encrypted file", Args: cobra.ExactArgs(1),
		Long: `Write one moment of the vault as one file, while the daemon goes on. The file is an age file for the recipients of the vault's own key slots; the values in it are
sealed once more, as they are in the vault. What was written is read back and checked before it gets its name. A passphrase or a plugin cannot be encrypted to
without its owner: such slots are named, and who has only those needs --to.

The identity file is not in it, nor what runs printed. Keep a copy of an identity apart from the backup: without one it opens to nobody.`,
		Example: `  zavhoz backup /mnt/backup/zavhoz.age
  zavhoz backup - | ssh nas 'cat > zavhoz.age'
  zavhoz backup zavhoz.age --to age1… --force`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var out backedUp
			var err error
			if args[0] == "-" {
				out, err = a.backupTo(cmd.Context(), to)
			} else {
				out, err = a.backupFile(cmd.Context(), args[0], to, force)
			}
			if err != nil {
				return err
			}
			if k, err := a.keys(cmd.Context()); err == nil { // it is written: without names it is told all the same
				out.name(k.Slots)
			}
			return a.showBackup(out)
		},
	}
	c.Flags().StringSliceVar(&to, "to", nil, "a public key (age1…, or a line of an ssh .pub file) in the place of the vault's own recipients; may be given again")
	c.Flags().BoolVar(&force, "force", false, "replace the file where there is one")
	return c
}

// name takes the vault's slots, and warns where none of them is among the recipients.
func (b *backedUp) name(slots []api.Slot) {
	b.slots = slots
	if !slices.ContainsFunc(b.Recipients, func(r string) bool { return b.slotOf(r) != nil }) {
		b.Warning = "who opens the file cannot open the vault in it, for none of the recipients is of a slot of the vault. " +
			"A restore needs in addition an identity or the passphrase of a slot: keep one, or add a slot with `zavhoz key add`"
	}
}

// slotOf gives the slot of a recipient, whatever comment an SSH key has; nil for none.
func (b *backedUp) slotOf(recipient string) *api.Slot {
	for i, s := range b.slots {
		if s.Recipient != "" && bare(s.Recipient) == bare(recipient) {
			return &b.slots[i]
		}
	}
	return nil
}

func bare(recipient string) string {
	parts := strings.Fields(recipient)
	return strings.Join(parts[:min(2, len(parts))], " ")
}

// names are the recipients, each with its slot's label.
func (b *backedUp) names() []string {
	out := slices.Clone(b.Recipients)
	for i, r := range out {
		if s := b.slotOf(r); s != nil && s.Label != "" {
			out[i] = s.Label + " (" + r + ")"
		}
	}
	return out
}

// showBackup goes to standard error where the backup itself went to standard output.
func (a *app) showBackup(b backedUp) error {
	text := func(w io.Writer) {
		where := plain(b.File)
		if b.File == "-" {
			where = "standard output"
		}
		fmt.Fprintf(w, "Wrote %s: %s of vault %s, %d bytes, sha256 %s.\n", where, count(int(b.Rows), "record"), b.VaultID, b.Size, b.SHA256)
		fmt.Fprintln(w, verifiedLine[b.Verified])
		fmt.Fprintf(w, "It opens for %s.\n", plain(strings.Join(b.names(), ", ")))
		if len(b.LeftOut) > 0 {
			fmt.Fprintf(w, "It does not open for: %s. A passphrase or a plugin cannot be encrypted to without its owner.\n", plain(strings.Join(b.LeftOut, ", ")))
		}
		if b.Warning != "" {
			fmt.Fprintf(w, "Warning: %s.\n", b.Warning)
		}
	}
	switch {
	case b.File != "-":
		return a.show(b, text)
	case a.json:
		writeJSON(a.stderr, b)
	default:
		text(a.stderr)
	}
	return nil
}

// How a backup was verified.
const (
	verifiedOpened = "opened"
	verifiedHashed = "hashed"
)

var verifiedLine = map[string]string{
	verifiedOpened: "It was read back and opened: counts, digests and its authentication hold. `zavhoz restore --verify` opens every seal as well.",
	verifiedHashed: "It is byte for byte what the daemon wrote. No identity is at hand here to open it: try it once with `zavhoz restore FILE --verify --identity …`.",
}

// backupTo writes to standard output: what a pipe swallowed cannot be read back.
func (a *app) backupTo(ctx context.Context, to []string) (backedUp, error) {
	out := backedUp{File: "-", Verified: verifiedHashed}
	if isTerminal(a.stdout) {
		return out, fault.New(fault.InvalidArgument, "a backup is not for a terminal", "name a file, or pipe it somewhere")
	}
	var err error
	out.Report, err = a.streamBackup(ctx, to, a.stdout)
	return out, err
}

// streamBackup asks the daemon for a backup, passes it on to w and gives the daemon's report, which agrees with what came.
func (a *app) streamBackup(ctx context.Context, to []string, w io.Writer) (rep backup.Report, err error) {
	cl, err := a.client()
	if err != nil {
		return rep, err
	}
	resp, err := cl.stream(ctx, "POST", path("backup"), api.Backup{To: to})
	if err != nil {
		return rep, err
	}
	defer resp.Body.Close()
	done := a.working("Writing the backup")
	defer done()
	got := &hashing{w: w, h: sha256.New()}
	if _, err := io.Copy(got, resp.Body); err != nil {
		if got.err != nil {
			return rep, cannotWrite(got.err)
		}
		if ctx.Err() != nil {
			return rep, fault.New(fault.Canceled, "interrupted; no backup was made", "").Because(ctx.Err())
		}
		return rep, broken(err)
	}
	return got.report(resp.Trailer)
}

// stream is call for a reply that is read as it comes.
func (c *client) stream(ctx context.Context, method, where string, in any) (*http.Response, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(ctx, method, where, body)
	if fault.CodeOf(err) != fault.PresenceRequired || c.prove == nil {
		return resp, err
	}
	switch perr := c.prove(ctx, c); {
	case errors.Is(perr, errNobody):
		return nil, err
	case perr != nil:
		return nil, perr
	}
	return c.send(ctx, method, where, body)
}

// hashing counts and hashes what it passes on, and tells its own errors apart.
type hashing struct {
	w   io.Writer
	h   hash.Hash
	n   int64
	err error
}

func (g *hashing) Write(b []byte) (n int, err error) {
	n, err = g.w.Write(b)
	_, _ = g.h.Write(b[:n])
	g.n += int64(n)
	g.err = err
	return n, err
}

// report holds what came against what the daemon says that it wrote.
func (g *hashing) report(trailer http.Header) (rep backup.Report, err error) {
	if said := trailer.Get(api.BackupProblem); said != "" {
		var p api.Problem
		if err := json.Unmarshal([]byte(said), &p); err != nil {
			return rep, broken(err)
		}
		return rep, problem(p)
	}
	if err := json.Unmarshal([]byte(trailer.Get(api.BackupReport)), &rep); err != nil {
		return rep, broken(err)
	}
	if rep.Size != g.n || rep.SHA256 != hex.EncodeToString(g.h.Sum(nil)) {
		return rep, fault.New(fault.VaultCorrupt, "what came is not what the daemon wrote", "try again")
	}
	return rep, nil
}

func cannotWrite(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fault.New(fault.NotPermitted, "the backup cannot be written there", "check the folder's rights, or name another file").Because(err)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.InvalidArgument, "there is no such folder; nothing was written", "make the folder, or name a file in another").Because(err)
	}
	return fault.New(fault.Internal, "the backup cannot be written: the disk is full, or fails", "free some space, or name another file; nothing was left behind").Because(err)
}
