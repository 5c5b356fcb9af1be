package main

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

func mcpAgent(a vault.Agent) mcp.Agent {
	return mcp.Agent{ID: a.ID, Name: a.Name, Attended: a.Attended, PerMinute: a.Rate.PerMinute}
}

// personRuns is how many runs a person attends at once.
const personRuns = 64

// shelf is the folder for what runs wrote beside folders, "" where the home cannot hold it: then it goes with the daemon.
func (d *daemon) shelf() string {
	if !sandbox.HoldsLayers(d.dir.Path()) {
		return ""
	}
	return filepath.Join(d.dir.Path(), "shelf")
}

// newEngine wires the engine: what it may ask the vault, and how it comes to every secret for the redactor.
func newEngine(v *vault.Vault, opener *open.Opener, walls *sandbox.Sandbox, limits home.Limits, shelf string, mac func(string, ...[]byte) [32]byte, others run.Elsewhere, log *slog.Logger) *run.Engine {
	return run.New(run.Options{
		Authority: v, Self: v.Self().ID, Elsewhere: others, Opener: opener, Keeper: v, Log: log, Sandbox: walls, Shelf: shelf, MAC: mac, Note: v.Note, Noted: v.Noted, MayGoOn: v.MayGoOn, Present: v.Resource, Environment: v.EnvironmentOf, Asleep: true, Workdirs: openFolders{v}.find, AgentsWrite: openFolders{v}.writable,
		Total: limits.Runs, MaxTimeout: time.Duration(limits.RunTimeout) * time.Second, RingOutput: int(limits.Output) / 2,
		Secrets: func(ctx context.Context, add func(string, secret.Secret)) error {
			return v.EachSealed(ctx, func(label string, ref keyring.Ref, sealed string) error {
				s, err := opener.Open(ref, sealed)
				if err == nil {
					add(label, s)
				}
				return err
			})
		},
		PerAgent: func(a vault.Actor) int {
			if a.Type == audit.Operator { // each attends theirs at a terminal
				return personRuns
			}
			r, err := v.AgentRate(context.Background(), a)
			if err != nil {
				return 1
			}
			return r.Concurrent
		},
	})
}

// openFolders are the working directories that the operator opened.
type openFolders struct{ v *vault.Vault }

// find gives those that a run at path sees.
func (o openFolders) find(ctx context.Context, actor vault.Actor, project, path string) ([]sandbox.Workdir, error) {
	ws, err := o.v.WorkdirsFor(ctx, actor, project, path)
	if err != nil {
		return nil, err
	}
	out := make([]sandbox.Workdir, len(ws))
	for i, w := range ws {
		out[i] = sandbox.Workdir{Path: w.Path, Mode: sandbox.Mode(w.Mode)}
	}
	return out, nil
}

// writable tells whether the operator opened path, or a folder in it, for writing in place.
func (o openFolders) writable(ctx context.Context, path string) (bool, error) {
	all, err := o.v.Workdirs(ctx)
	return slices.ContainsFunc(all, func(w vault.Workdir) bool {
		return w.Mode == vault.WorkdirWrite && (w.Holds(path) || vault.Workdir{Path: path}.Holds(w.Path))
	}), err
}

// watch tells the engine when secrets change: its matcher is made anew, and connections of a changed resource are not used again. What a run was allowed by may
// be gone as well; then the run ends.
func (d *daemon) watch(ctx context.Context, changes <-chan store.Change) {
	for c := range changes {
		switch c.Collection {
		case vault.SettingCollection:
			d.settingsChanged()
		case keyring.Collection: // another daemon's key add or rotate: the leader goes on with it
			d.keys.Wake()
		case vault.AgentCollection, vault.LeaseCollection:
			d.engine.Recheck(ctx)
		case vault.RotationCollection, vault.ConfigCollection: // a new credential is sealed: it is masked before anything has it
			d.engine.Changed()
		case vault.ResourceCollection, vault.ServerCollection:
			if c.Key == "" {
				d.engine.Changed()
			} else {
				d.engine.Changed(c.Key)
			}
			d.engine.Recheck(ctx)
		}
	}
}

// hostKeys looks at a server's host key: the address is opened here and goes nowhere else.
type hostKeys struct{ opener *open.Opener }

// Scan asks the server for the key that it would prove to us.
func (h hostKeys) Scan(ctx context.Context, r vault.Resource) ([]api.HostKey, error) {
	if r.Kind != "server" {
		return nil, fault.New(fault.InvalidArgument, "only a server has a host key", "")
	}
	sealed, ok := r.Sealed["host"]
	if !ok {
		return nil, fault.New(fault.SecretMissing, "the server has no address", "give it with `zavhoz resource edit "+r.Handle+" --secret host=-`")
	}
	host, err := h.opener.Open(r.FieldRef("host"), sealed.Value)
	if err != nil {
		return nil, err
	}
	defer host.Wipe()
	port := 22
	if p, err := strconv.Atoi(r.Attrs["port"]); err == nil {
		port = p
	}
	k, err := ssh.ScanHostKey(ctx, host, port)
	if err != nil {
		return nil, err
	}
	return []api.HostKey{{Key: k.Line, Fingerprint: k.Fingerprint, Pinned: strings.Contains(r.Attrs["host_key"], k.Line)}}, nil
}

// auditor gives the API the audit log over the vault's store.
type auditor struct {
	log *audit.Log
	st  store.Store
}

// List gives a page of records.
func (a auditor) List(ctx context.Context, f audit.Filter) (rs []audit.Record, next string, err error) {
	err = vault.StoreFault(a.st.View(ctx, func(tx store.Tx) error {
		rs, next, err = a.log.List(tx, f)
		return err
	}))
	return rs, next, err
}

// Verify follows the chain.
func (a auditor) Verify(ctx context.Context) (audit.Report, error) {
	r, err := a.log.Verify(ctx, a.st)
	return r, vault.StoreFault(err)
}

// Export writes the log as signed JSON lines.
func (a auditor) Export(ctx context.Context, w io.Writer) (audit.Report, error) {
	r, err := a.log.Export(ctx, a.st, w)
	return r, vault.StoreFault(err)
}
