// Package vault is the house's heart: resources, projects, agents, leases, servers and runs as sealed, authenticated records, and the
// rules by which they may be used.
//
// Promise: whoever acts is resolved once, at the door, and every act is authorised here against the lease, the agent's grants and the
// resource's policy, in the same transaction that records it. Secret fields come in as secret.Secret, are sealed at once and wiped;
// nothing here gives one back: opening is vault/open's, which this package does not import.
//
// Attacks stopped: a handle or lease guessed, stolen, replayed by another agent or used after release (threat-model.md 63); another's run
// read or stopped (64); an approval used for another call, or twice (70); a row edited, moved or lost underneath (57, 72), by the records' MACs and digests.
package vault

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// The collections of the vault. Names are part of the vault's format.
const (
	cResources  store.Collection = "resources"
	cHandles    store.Collection = "handles"
	cVersions   store.Collection = "versions"
	cCounters   store.Collection = "counters"
	cLeases     store.Collection = "leases"
	cLive       store.Collection = "live_leases"
	cIdem       store.Collection = "idempotency"
	cAgents     store.Collection = "agents"
	cAgentNames store.Collection = "agent_names"
	cTokens     store.Collection = "tokens"
	cProjects   store.Collection = "projects"
	cProjectIDs store.Collection = "project_ids"
	cConfigs    store.Collection = "project_configs"
	cFormer     store.Collection = "project_former"
	cServers    store.Collection = "servers"
	cRuns       store.Collection = "runs"
	cLiveRuns   store.Collection = "live_runs"
	cSettings   store.Collection = "settings"
	cSync       store.Collection = "sync_state"
	cServerOf   store.Collection = "server_of"
	cWorkdirs   store.Collection = "workdirs"
	cRotations  store.Collection = "rotations"
	cReplicas   store.Collection = "replicas"
	cIntakes    store.Collection = "intakes"

	cEnvironments store.Collection = "environments"
)

// The collections that are watched: by whoever caches opened values, and by whoever must end what is no longer allowed.
const (
	ResourceCollection = cResources
	ServerCollection   = cServers
	AgentCollection    = cAgents
	LeaseCollection    = cLeases
	RotationCollection = cRotations
	ConfigCollection   = cConfigs
	SettingCollection  = cSettings
)

// Opener opens sealed fields (vault/open.Opener). The vault needs it where an edit must check new fields against kept ones and where
// a discovered server's address becomes a resource's; the program wires it.
type Opener interface {
	Open(ref keyring.Ref, sealed string) (secret.Secret, error)
}

// Options are what a Vault is opened with.
type Options struct {
	Store   store.Store
	Keyring *keyring.Keyring
	Opener  Opener
	Clock   func() time.Time // default time.Now
	Writer  string           // the audit chain's writer; default "main"
	Replica Replica          // this daemon, where others may serve the same vault; zero: it is alone
	Probe   Prober           // asks services whether a value is good; nil: none is asked
	// RedactionBudget is how many secret values the runs of one lease may print before it ends (threat-model.md 60); default 50.
	RedactionBudget int
	KeepVersions    int  // how many earlier versions of a resource stay; default KeepVersions
	Verify          bool // check every record, count and digest before answering, and record the opening: what a daemon does at its start
}

// link is a row that points at another record by id.
type link struct {
	ID string `json:"id"`
}

// counter counts the uses of a resource over all its leases.
type counter struct {
	Uses uint64 `json:"uses"`
}

// Vault is a vault, unlocked or, over a keyring without keys and a Gate that is shut, locked. Its methods may be called by many goroutines.
type Vault struct {
	st     store.Store
	k      *keyring.Keyring
	opener Opener
	probe  Prober
	mirror Mirror
	book   *record.Book
	audit  *audit.Log
	now    func() time.Time
	reads  *readLog
	budget int
	keeps  uint64 // earlier versions of a resource

	resources  *record.Set[Resource]
	handles    *record.Set[link]
	versions   *record.Set[Resource]
	counters   *record.Set[counter]
	leases     *record.Set[Lease]
	live       *record.Set[link]
	idem       *record.Set[idemRow]
	agents     *record.Set[Agent]
	agentNames *record.Set[link]
	tokens     *record.Set[link]
	projects   *record.Set[Project]
	bridges    *record.Set[Bridge]
	projectIDs *record.Set[link] // prj_…, or the earlier system's id → slug
	configs    *record.Set[ProjectConfig]
	former     *record.Set[FormerSecret]
	servers    *record.Set[Server]
	runs       *record.Set[Run]
	liveRuns   *record.Set[link]
	presence   *record.Set[keyring.Presence]
	syncState  *record.Set[SyncState]
	workdirs   *record.Set[Workdir]
	rotations  *record.Set[Rotation]
	reserves   *record.Set[Reserve] // res_…, or everyServer
	replicas   *record.Set[Replica]
	approvals  *record.Set[Approval]
	asked      *record.Set[link]
	words      *record.Set[word]
	lockdowns  *record.Set[Lockdown]
	intakes    *record.Set[Intake]

	replica Replica // this daemon; zero: it is alone

	environments *record.Set[Environment] // prj_…/digest

	serverLinks *record.Set[link] // res_… → srv_…

	trust   trust // in what the store holds
	closing sync.Once
	later   pending // asked of the vault while it was locked
}

// Open makes a Vault over a keyring; over a locked one not with Verify, and then Awaken does what Verify does. Errors: fault record_tampered or vault_corrupt from the check, store errors.
func Open(ctx context.Context, o Options) (*Vault, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Writer == "" {
		o.Writer = "main"
	}
	if o.RedactionBudget <= 0 {
		o.RedactionBudget = 50
	}
	if o.KeepVersions <= 0 {
		o.KeepVersions = KeepVersions
	}
	b := record.NewBook(o.Keyring)
	v := &Vault{
		st: o.Store, k: o.Keyring, opener: o.Opener, probe: o.Probe, book: b, budget: o.RedactionBudget, keeps: uint64(min(o.KeepVersions, MaxKeepVersions)),
		now:        func() time.Time { return o.Clock().UTC() },
		audit:      audit.New(b, o.Keyring, audit.Options{Writer: o.Writer, Clock: o.Clock}),
		resources:  record.NewSpelled(b, cResources, spellResource),
		handles:    record.NewSpelled(b, cHandles, spellLink),
		versions:   record.NewSpelled(b, cVersions, spellResource),
		counters:   record.NewSet[counter](b, cCounters),
		leases:     record.NewSet[Lease](b, cLeases),
		live:       record.NewSet[link](b, cLive),
		idem:       record.NewSet[idemRow](b, cIdem),
		agents:     record.NewSet[Agent](b, cAgents),
		agentNames: record.NewSet[link](b, cAgentNames),
		tokens:     record.NewSet[link](b, cTokens),
		projects:   record.NewSet[Project](b, cProjects),
		bridges:    record.NewSet[Bridge](b, cBridges),
		projectIDs: record.NewSet[link](b, cProjectIDs),
		configs:    record.NewSpelled(b, cConfigs, spellConfig),
		former:     record.NewSpelled(b, cFormer, spellFormer),
		servers:    record.NewSet[Server](b, cServers),
		runs:       record.NewSet[Run](b, cRuns),
		liveRuns:   record.NewSet[link](b, cLiveRuns),
		presence:   record.NewSet[keyring.Presence](b, cSettings),
		syncState:  record.NewSet[SyncState](b, cSync),
		workdirs:   record.NewSet[Workdir](b, cWorkdirs),
		rotations:  record.NewSet[Rotation](b, cRotations),
		reserves:   record.NewSet[Reserve](b, cReserves),
		replicas:   record.NewSet[Replica](b, cReplicas),
		approvals:  record.NewSet[Approval](b, cApprovals),
		asked:      record.NewSet[link](b, cAsked),
		words:      record.NewSet[word](b, cWords),
		lockdowns:  record.NewSet[Lockdown](b, cSettings),
		intakes:    record.NewSet[Intake](b, cIntakes),
		replica:    o.Replica,

		environments: record.NewSet[Environment](b, cEnvironments),

		serverLinks: record.NewSet[link](b, cServerOf),
	}
	if o.Verify {
		if err := v.Verify(ctx); err != nil {
			return nil, err
		}
	}
	v.reads = newReadLog(v)
	if o.Verify {
		return v, v.Note(ctx, audit.Event{Actor: SystemActor("start"), Action: audit.VaultOpen, Outcome: audit.Allowed})
	}
	return v, nil
}

// HeaderTx is Header within a transaction.
func HeaderTx(tx store.Tx) ([]byte, error) {
	if err := refuseMarked(tx); err != nil {
		return nil, err
	}
	return keyring.Load(tx)
}

// Close flushes the queued audit records. It does not close the store or the keyring.
func (v *Vault) Close(ctx context.Context) error {
	var err error
	v.closing.Do(func() { err = v.reads.close(ctx) })
	return err
}

// Audit gives the audit log and the store it lives in, for listing, verification and export by the operator.
func (v *Vault) Audit() (*audit.Log, store.Store) { return v.audit, v.st }

// Changes tells when records may have changed, until ctx ends.
func (v *Vault) Changes(ctx context.Context) <-chan store.Change { return v.st.Watch(ctx) }

// view and update turn the store's errors into faults.
func (v *Vault) view(ctx context.Context, fn func(store.Tx) error) error {
	return StoreFault(v.st.View(ctx, fn))
}

func (v *Vault) update(ctx context.Context, fn func(store.Tx) error) error {
	if err := v.Distrusted(); err != nil {
		return err
	}
	return StoreFault(v.st.Update(ctx, fn))
}

// StoreFault says in our own words what a store's error means; faults and unknown errors pass.
func StoreFault(err error) error {
	if err == nil {
		return nil
	}
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, store.ErrCorrupt):
		return fault.New(fault.VaultCorrupt, "the vault's file is damaged", "run `zavhoz doctor`; restore from a backup").Because(err)
	case errors.Is(err, store.ErrFormat):
		return fault.New(fault.VaultFormat, "the vault was written by a newer zavhoz", "upgrade zavhoz").Because(err)
	case errors.Is(err, store.ErrBusy):
		return fault.New(fault.VaultBusy, "another process holds the vault", "stop the other daemon (zavhoz stop), then try again").Because(err)
	case errors.Is(err, store.ErrFull):
		return fault.New(fault.Internal, "the disk is full: nothing was written", "free some space, then try again").Because(err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.New(fault.Internal, "the vault's file may not be written: nothing was changed",
			"give back the right to write the file, its folder and its disk; then `zavhoz stop`: the next daemon opens it anew").Because(err)
	case errors.Is(err, store.ErrRewound):
		return fault.New(fault.RecordTampered, "the database has gone back to an earlier state of the vault, or holds another history of it: nothing is read or written",
			"find out who did that: docs/postgresql.md; where it was meant (a restore, a failover), a person starts each daemon once with `zavhoz serve --accept-store`").Because(err)
	case errors.Is(err, store.ErrUnknown):
		return fault.New(fault.Internal, "the database went away while this was written: whether it was is not known yet", "look whether it is there before you do it again").Because(err)
	case errors.Is(err, store.ErrUnavailable):
		return fault.New(fault.DaemonUnavailable, "the vault's database does not answer", "try again; `zavhoz doctor` says more").Because(err)
	case errors.Is(err, store.ErrDenied):
		return fault.New(fault.NotPermitted, "the vault's database does not let this user in, or not do this", "see docs/postgresql.md: which rights a vault needs").Because(err)
	case errors.Is(err, store.ErrTooOld):
		return fault.New(fault.NotSupported, "the vault's database is on a server that is too old, or does not say how old it is", "upgrade it: docs/postgresql.md").Because(err)
	case errors.Is(err, store.ErrClosed):
		return fault.New(fault.DaemonUnavailable, "the vault is closing", "try again").Because(err)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Canceled, "the call was cancelled before it took effect", "").Because(err)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.TimedOut, "the call ran out of time before it took effect", "try again").Because(err)
	}
	return err
}

// found turns store.ErrNotFound into the fault given.
func found(err error, missing *fault.Error) error {
	if errors.Is(err, store.ErrNotFound) {
		return missing
	}
	return err
}
