package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/run"
	probing "github.com/zavhoz/zavhoz/run/probe"
	rotating "github.com/zavhoz/zavhoz/run/rotate"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/sync/bridge"
	"github.com/zavhoz/zavhoz/sync/sopshome"
	"github.com/zavhoz/zavhoz/tools"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/errand"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// Times of a daemon.
const (
	stopGrace   = 10 * time.Second // for what is under way when it ends
	leaveGrace  = 2 * time.Second  // for the word to the other daemons
	sweepEvery  = time.Minute
	busyTimeout = 500 * time.Millisecond // how long to wait for the vault file's lock
)

// serveOptions are what the command line says beyond the configuration.
type serveOptions struct {
	listen      string                                   // "" for none
	autostarted bool                                     // ends when idle; reports on the ready pipe
	system      bool                                     // a service of the system: no agent has its user
	locked      bool                                     // stays locked until a person unlocks it
	accept      bool                                     // a person takes whatever vault the database holds, once
	credentials string                                   // systemd's folder of credentials; "": none
	place       vaultPlace                               // where the vault is
	ask         func(what string) (secret.Secret, error) // asks who started it at a terminal; nil: nobody is there
}

// daemon is the one process that holds the vault.
type daemon struct {
	dir     home.Dir
	cfg     home.Config
	o       serveOptions
	log     *slog.Logger
	started time.Time

	store   store.Store // with the gate before it
	lock    lock
	ring    *keyring.Keyring
	vault   *vault.Vault
	engine  *run.Engine
	sandbox *sandbox.Sandbox // what confines runs; nil: nothing
	mcp     *mcp.Server
	web     *web.Server
	sync    *syncer
	leads   leadership
	follow  following
	desk    *errand.Desk // to the other daemons of the vault; nil: there are none
	keys    *rekey.Keeper
	rotate  *rotating.Rotator
	bridge  *bridge.Bridge // to the earlier system's table, while its programs read it
	files   *sopshome.Home // the vault, with the files of secrets that it is kept in step with
	idle    *idleness
	listen  string // the address really bound

	stop  context.CancelFunc
	tasks sync.WaitGroup
}

// openVault opens the vault's file or database, locked.
func (d *daemon) openVault(ctx context.Context) error {
	known, err := d.remembers()
	if err != nil {
		return err
	}
	st, err := d.o.place.serve(ctx, d.dir, d.log, known.moment())
	if err != nil {
		return err
	}
	header, err := vault.Header(ctx, st)
	if err == nil {
		err = known.fits(header)
	}
	if err == nil {
		d.ring, err = keyring.Locked(header)
	}
	if err != nil {
		st.Close()
		return err
	}
	d.lock.raw, d.lock.gate = st, vault.NewGate(st, true)
	d.store = d.lock.gate
	if d.shares() {
		d.lock.gate.Follow(d.ring, d.followKeys)
	}
	return nil
}

// newDaemon wires every part over the locked vault, and unlocks it where it may. Nothing listens yet.
func newDaemon(ctx context.Context, dir home.Dir, o serveOptions, log *slog.Logger) (*daemon, error) {
	d := &daemon{dir: dir, o: o, log: log, started: time.Now(), follow: newFollowing()}
	var err error
	if err = dir.Check(); err != nil {
		return nil, err
	}
	if d.cfg, err = home.LoadConfig(dir.Config()); err != nil {
		return nil, err
	}
	if err = d.openVault(ctx); err != nil {
		return nil, err
	}
	if err = d.wire(ctx); err == nil {
		err = d.start(ctx)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *daemon) wire(ctx context.Context) (err error) {
	opener := open.New(d.ring)
	d.vault, err = vault.Open(ctx, vault.Options{Store: d.store, Keyring: d.ring, Opener: opener, Replica: d.replica(), KeepVersions: d.cfg.Versions.Keep, Probe: probing.New(probing.Options{Telegram: d.cfg.Projects.TelegramAPI})})
	if err != nil {
		return err
	}
	if d.sandbox, err = sandbox.New(sandbox.Options{System: d.o.system, Protected: d.protected(), Log: d.log}); err != nil {
		return err
	}
	d.engine = newEngine(d.vault, opener, d.sandbox, d.cfg.Limits, d.shelf(), d.ring.MAC, d.others(), d.log)
	if d.sync, err = newSyncer(d.vault, opener, d.cfg, d.leads.holds, d.log); err != nil {
		return err
	}
	d.openDesk(opener)
	d.files = d.secretFiles(opener)
	d.idle = newIdleness(d.cfg.IdleExit())
	d.keys = rekey.New(rekey.Options{Vault: d.vault, Keyring: d.ring, Opener: opener, Plugins: plugins{ctx: ctx}, Log: d.log, Busy: d.idle.enter})
	d.rotate = rotating.New(rotating.Options{Vault: d.files, Opener: opener, Log: d.log, Busy: d.idle.enter})
	d.bridge = bridge.New(bridge.Options{Vault: d.vault, Opener: opener, Log: d.log})
	d.vault.SetMirror(d.bridge.Changed)
	deps := tools.Deps{Vault: d.vault, Runner: d.engine, Sync: d.sync.Info, Isolation: d.isolation, Presence: d.vault.HasPresence, Locked: d.lock.gate.IsShut, Files: d.fileStates, PageURL: d.pageURL}
	d.mcp, err = mcp.New(mcp.Options{
		Tools: d.lock.used.watched(tools.All(deps)), Inventory: tools.Inventory{Vault: d.vault}, Prompts: tools.Prompts(), Identity: &identity{v: d.vault}, Instructions: tools.Instructions, Version: version(), Log: d.log, Replicas: d.doorsBeside(),
		Limits: mcp.Limits{MessageBytes: int(d.cfg.Limits.Request)},
		HTTP:   mcp.HTTP{Hosts: d.cfg.HTTP.AllowedHosts, Origins: d.cfg.HTTP.AllowedOrigins, TrustedProxy: d.cfg.TrustedProxies()},
	})
	if err != nil {
		return err
	}
	log, st := d.vault.Audit()
	d.web = web.New(web.Options{
		Vault: d.files, Runs: openRuns{d.engine, d.vault}, Sync: d.sync, HostKeys: hostKeys{opener}, Audit: auditor{log, st}, Keys: keyDoor{d.keys}, Rotations: rotations{d.rotate}, Adoptions: adoptions{d.bridge}, Files: secretFiles{d.files}, Backup: backups{d}, Export: newExports(d.vault, opener), Lock: vaultLock{d}, VaultID: d.ring.VaultID(), Plugins: plugins{ctx: ctx}, PageURL: d.pageURL, Status: d.status, Folder: folders(d.dir), StopRun: d.stopRun, Stop: func() { d.stop() }, Log: d.log,
	})
	return nil
}

// serve listens and answers until ctx ends, then closes everything in order.
func (d *daemon) serve(ctx context.Context, ready *os.File) error {
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	defer d.close()
	changes := d.vault.Changes(ctx) // before the first call: the matcher of all secrets misses none
	d.firstFiles(ctx)
	doors, err := d.openDoors()
	if err != nil {
		return err
	}
	for _, door := range doors {
		d.tasks.Go(func() { door.serve(ctx) })
	}
	d.tasks.Go(func() { d.sync.Run(ctx) })
	d.tasks.Go(func() { d.live(ctx) })
	d.tasks.Go(func() { d.obey(ctx) })
	if d.desk != nil {
		d.tasks.Go(func() { d.desk.Run(ctx) })
	}
	d.tasks.Go(func() { d.files.Run(ctx) })
	d.tasks.Go(func() { d.bridge.Run(ctx) })
	d.tasks.Go(func() { d.byClock(ctx) })
	d.tasks.Go(func() { d.watch(ctx, changes) })
	d.tasks.Go(func() { d.guard(ctx) })
	if after := d.cfg.LockAfter(); after > 0 {
		d.tasks.Go(func() { d.lockWhenIdle(ctx, after) })
	}
	if d.o.autostarted {
		d.tasks.Go(func() { d.endWhenIdle(ctx) })
	}
	report(ready, nil)
	d.log.Info("serving", "version", version(), "listen", d.listen)
	<-ctx.Done()
	d.log.Info("stopping")
	d.endRuns() // first: calls that wait for a run end with it, and the store outlives every run's record
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	for _, door := range doors {
		door.shut(grace)
	}
	d.tasks.Wait()
	last, cancel := context.WithTimeout(context.Background(), leaveGrace) // of its own: whatever held a door, the other daemons are told
	defer cancel()
	d.leave(last)
	return nil
}

// endRuns stops what runs, within a grace of its own.
func (d *daemon) endRuns() {
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	if err := d.engine.Shutdown(grace); err != nil {
		d.log.Error("runs did not end in time", "cause", fault.Cause(err))
	}
}

// close flushes the audit queue, then frees the file and wipes the keys.
func (d *daemon) close() {
	var err error
	if d.vault != nil {
		grace, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		err = d.vault.Close(grace)
	}
	if d.sandbox != nil {
		err = errors.Join(err, d.sandbox.Close())
	}
	err = errors.Join(err, d.store.Close())
	d.ring.Close()
	if err != nil {
		d.log.Error("closing", "cause", fault.Cause(err))
	}
}

// sweep ends what has expired, every minute.
func (d *daemon) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.vault.Sweep(ctx); err != nil && ctx.Err() == nil && fault.CodeOf(err) != fault.VaultLocked {
				d.log.Error("sweep", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// report tells whoever started this daemon that it is ready, or why it is not.
func report(ready *os.File, err error) {
	if ready == nil {
		return
	}
	s := started{Ready: err == nil}
	if err != nil {
		f := fault.Of(err)
		s.Code, s.Message, s.Next = string(f.Code), f.Message, f.Next
	}
	_ = json.NewEncoder(ready).Encode(s)
	_ = ready.Close()
}

func (d *daemon) status(ctx context.Context) (api.Status, error) {
	s := api.Status{Store: d.o.place.String(), Version: version(), VaultID: d.ring.VaultID(), PID: os.Getpid(), StartedAt: d.started.UTC(), Listen: d.listen}
	i := d.isolation(ctx)
	s.Isolation, s.Features = i.Level, i.Features
	s.Files = d.fileStates()
	if s.Locked = d.lock.gate.IsShut(); s.Locked {
		return s, nil // nothing else can be told
	}
	var err error
	p, err := d.vault.Presence(ctx)
	if err != nil {
		return s, err
	}
	if s.Presence = p.Format != 0; s.Presence {
		s.PresenceBy = cmp.Or(p.By, "passphrase")
	}
	if s.Sync, err = d.sync.Info(ctx); err != nil {
		return s, err
	}
	runs, err := d.vault.Runs(ctx, vault.OperatorActor())
	if err != nil {
		return s, err
	}
	leases, err := d.vault.Leases(ctx, vault.OperatorActor())
	if err != nil {
		return s, err
	}
	held, err := d.engine.Holding(vault.OperatorActor())
	s.Runs, s.Leases, s.Held = len(runs), len(leases), len(held)
	if err == nil && d.shares() {
		s.Replicas, err = d.replicas(ctx)
	}
	return s, err
}
