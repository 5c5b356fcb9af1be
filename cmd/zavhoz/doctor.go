package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// check is one thing that doctor looked at.
type check struct {
	Name    string     `json:"name"`
	OK      bool       `json:"ok"`
	Warning bool       `json:"warning,omitempty"` // nothing is broken, but something is lost
	Note    string     `json:"note,omitempty"`
	Next    string     `json:"next,omitempty"`
	Code    fault.Code `json:"code,omitempty"` // of what is broken
}

// findings is all that doctor tells.
type findings struct {
	Checks []check `json:"checks"`
	api.Isolation
}

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check the installation: files, keys, the vault, the audit chain, the isolation of runs", Args: cobra.NoArgs,
		Long: `Check the installation by doing: read the key file as the daemon would, ask the daemon, follow the audit chain, try each thing that isolates runs. The daemon tries
them, for it starts the runs; where none answers, doctor tries them itself. The exit code is that of the first thing found broken; what is lost of the isolation is a
warning, unless nothing is left that could confine a command.`,
		Example: "  zavhoz doctor\n  zavhoz doctor --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := a.examine(cmd.Context())
			err := a.show(f, f.print)
			for _, c := range f.Checks {
				if !c.OK {
					return errors.Join(err, exitCode(c.Code.Of().Exit))
				}
			}
			return err
		},
	}
}

func (f *findings) print(w io.Writer) {
	for _, c := range f.Checks {
		mark, note := "ok  ", plain(c.Note)
		switch {
		case !c.OK:
			mark, note = "BAD ", note+" ["+string(c.Code)+"]"
		case c.Warning:
			mark = "warn"
		}
		fmt.Fprintf(w, "%s %-18s %s\n", mark, c.Name, note)
		if c.Next != "" {
			fmt.Fprintf(w, "     %-18s next: %s\n", "", plain(c.Next))
		}
	}
	printIsolation(w, f.Isolation)
}

func (f *findings) add(name, note string, err error) bool {
	c := check{Name: name, OK: err == nil, Note: note}
	if err != nil {
		e := fault.Of(err)
		c.Note, c.Next, c.Code = e.Message, e.Next, e.Code
		if strings.Contains(c.Next, "zavhoz doctor") { // this is what it says
			c.Next = "see the other checks here, and the end of the daemon's log"
		}
	}
	f.Checks = append(f.Checks, c)
	return c.OK
}

// examine looks at the files, then at the daemon, then at the isolation: the daemon's, or where it does not answer, what this user would get.
func (a *app) examine(ctx context.Context) *findings {
	f := &findings{}
	var s *api.Status
	if dir, cfg, ok := a.examineFiles(ctx, f); ok {
		if s = a.examineDaemon(ctx, f); s != nil && !s.Locked {
			f.examineNeighbours(s, cfg.System, cfg.Unlock.Sources)
		}
		f.examineReaders(dir)
		f.examineMachine(machine{})
	}
	if s != nil {
		f.Isolation = api.Isolation{Level: s.Isolation, Features: s.Features}
	} else {
		f.Isolation = probeHere(ctx)
	}
	f.judgeIsolation()
	return f
}

// examineFiles tells whether a daemon could start from them.
func (a *app) examineFiles(ctx context.Context, f *findings) (dir home.Dir, cfg home.Config, ok bool) {
	dir, err := a.dir()
	if err == nil {
		err = dir.Check()
	}
	if !f.add("home", dir.Path(), err) {
		return dir, cfg, false
	}
	cfg, err = home.LoadConfig(dir.Config())
	if slices.Contains(cfg.Unlock.Sources, home.FromFile) || err != nil {
		note, ierr := a.examineIdentity(ctx, dir.Identity())
		if fault.CodeOf(ierr) == fault.NotInitialized && len(cfg.Unlock.Sources) > 1 { // whether another source has the key, the daemon tells
			note, ierr = "in no file of the home; unlock.sources names others, too: "+strings.Join(cfg.Unlock.Sources, ", "), nil
		}
		f.add("identity", note, ierr) // the daemon may have been unlocked in another way
	} else {
		f.examineUnused(dir, cfg.Unlock.Sources)
	}
	if !f.add("configuration", dir.Config(), err) {
		return dir, cfg, false
	}
	if st, serr := os.Stat(dir.Log()); serr == nil {
		f.add("log", fmt.Sprintf("%s, %d bytes", dir.Log(), st.Size()), nil)
	}
	return dir, cfg, true
}

// examineIdentity reads the identity file as a daemon would; one that wants a passphrase is as good as one that does not.
func (a *app) examineIdentity(ctx context.Context, file string) (note string, err error) {
	_, err = home.LoadIdentitiesWith(file, keyring.IdentityOptions{Plugins: a.plugins(ctx)})
	if fault.CodeOf(err) == fault.NotSupported {
		return "readable by you alone, and encrypted: a person unlocks the vault", nil
	}
	return "readable by you alone", err
}

// examineUnused looks for an identity file that no source names: it opens nothing here, and the vault for who reads it.
func (f *findings) examineUnused(dir home.Dir, sources []string) {
	fine := "in no file of the home: " + strings.Join(sources, ", ")
	lost := ""
	if _, err := os.Lstat(dir.Identity()); !errors.Is(err, os.ErrNotExist) {
		lost = "identity.txt lies in the home, and unlock.sources names no file: nothing here needs it, and whoever reads it may open the vault"
	}
	f.warn("identity", fine, lost, "when `zavhoz lock` and `zavhoz unlock` work without it, take "+dir.Identity()+" away, to a safe place if it is your recovery identity")
}

// examineDaemon asks the daemon; nil where it does not answer.
func (a *app) examineDaemon(ctx context.Context, f *findings) *api.Status {
	var s api.Status
	cl, err := a.client()
	if err == nil {
		err = cl.call(ctx, "GET", path("status"), nil, &s)
	}
	if !f.add("daemon", fmt.Sprintf("%s, pid %d, vault %s verified at its start", s.Version, s.PID, s.VaultID), err) {
		return nil
	}
	if s.Locked {
		f.warn("vault", "", "it is locked: what is in it cannot be looked at", "unlock it: `zavhoz unlock`, then ask again")
		return &s
	}
	var rep audit.Report
	err = cl.call(ctx, "POST", path("audit", "verify"), nil, &rep)
	f.add("audit chain", fmt.Sprintf("%d records hold", rep.Records), err)
	f.add("presence", presenceLine(s.Presence), nil)
	f.Checks[len(f.Checks)-1].Warning = !s.Presence
	a.examineKeys(ctx, f)
	a.examinePolicies(ctx, f)
	f.examineSecrets(s.Files)
	var syncErr error
	if s.Sync.Failing {
		syncErr = fault.New(fault.SyncIncomplete, syncLine(s.Sync), "see `zavhoz server sync`")
	}
	f.add("sync", syncLine(s.Sync), syncErr)
	return &s
}

// judgeIsolation comes last: what is broken before it is the first to mend.
func (f *findings) judgeIsolation() {
	if err := isolationFault(f.Isolation); err != nil {
		f.add("isolation", "", err)
		return
	}
	f.add("isolation", f.Level+", lost: "+lostLine(f.Features), nil)
	if !policy.Level(f.Level).Meets(policy.LevelSealed) {
		c := &f.Checks[len(f.Checks)-1]
		c.Warning, c.Next = true, "see what is lost below, and how to get it"
	}
}
