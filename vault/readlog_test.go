package vault_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
)

// fullDisk is a store whose commits can be held back, and fail.
type fullDisk struct {
	store.Store
	full  atomic.Bool
	gate  sync.RWMutex // held for writing: commits wait
	tries chan struct{}
}

func (d *fullDisk) Update(ctx context.Context, fn func(store.Tx) error) error {
	if d.full.Load() {
		select {
		case d.tries <- struct{}{}:
		default:
		}
	}
	d.gate.RLock()
	defer d.gate.RUnlock()
	if d.full.Load() {
		return store.ErrFull
	}
	return d.Store.Update(ctx, fn)
}

// onDisk makes a vault on a disk that can be full.
func onDisk(t *testing.T) (*vault.Vault, *fullDisk, store.Store) {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	t.Cleanup(func() { k.Close() })
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	must(t, err)
	t.Cleanup(func() { st.Close() })
	disk := &fullDisk{Store: st, tries: make(chan struct{}, 1)}
	v, err := vault.Open(ctx, vault.Options{Store: disk, Keyring: k, Opener: open.New(k)})
	must(t, err)
	must(t, v.Setup(ctx))
	return v, disk, st
}

// While the queue of records cannot be committed nothing is answered, whoever waits in it is let go, and when there is room again it is all there: no
// record is lost and nobody is stopped for good.
func TestNothingIsAnsweredWhileTheAuditLogCannotBeWritten(t *testing.T) {
	v, disk, st := onDisk(t)
	var err error

	event := audit.Event{Actor: operator, Action: audit.ResourceList, Outcome: audit.Allowed}
	disk.gate.Lock() // a commit hangs, and the queue fills behind it
	disk.full.Store(true)
	must(t, v.Note(ctx, event))
	<-disk.tries
	noted := 1
	short, cancel := context.WithTimeout(ctx, time.Second)
	for err = v.Note(short, event); err == nil; err = v.Note(short, event) {
		noted++
	}
	cancel()
	wantCode(t, err, fault.TimedOut) // full
	stuck := make(chan error, 50)
	for range cap(stuck) {
		go func() { stuck <- v.Note(ctx, event) }()
	}
	disk.gate.Unlock() // the commit fails
	for range cap(stuck) {
		if err := <-stuck; err == nil {
			noted++
		} else {
			wantCode(t, err, fault.AuditUnavailable)
		}
	}
	local, err := v.Local(ctx)
	must(t, err)
	who := vault.Actor{Type: audit.Agent, ID: local.ID, Name: local.Name, Door: "stdio"}
	_, _, err = v.Visible(ctx, who, vault.Filter{})
	wantCode(t, err, fault.AuditUnavailable)

	disk.full.Store(false)
	for err = v.Note(ctx, event); fault.CodeOf(err) == fault.AuditUnavailable; err = v.Note(ctx, event) {
		runtime.Gosched()
	}
	must(t, err)
	noted++
	must(t, v.Close(ctx))
	wantCode(t, v.Note(ctx, event), fault.DaemonUnavailable)
	log, _ := v.Audit()
	report, err := log.Verify(ctx, st)
	must(t, err)
	if want := noted + 1; int(report.Records) != want { // and vault.init
		t.Errorf("%d records for %d events", report.Records, want)
	}
}

// What could not be written until the end is said at the end.
func TestClosingTellsOfLostRecords(t *testing.T) {
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	defer k.Close()
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	must(t, err)
	defer st.Close()
	disk := &fullDisk{Store: st}
	v, err := vault.Open(ctx, vault.Options{Store: disk, Keyring: k, Opener: open.New(k)})
	must(t, err)
	disk.full.Store(true)
	must(t, v.Note(ctx, audit.Event{Actor: operator, Action: audit.ResourceList, Outcome: audit.Allowed}))
	if err := v.Close(ctx); !errors.Is(err, store.ErrFull) {
		t.Error(err)
	}
}

// What was noted is there once Noted returns, without waiting for the queue's own time; on a full disk it says so.
func TestNotedWaitsForTheCommit(t *testing.T) {
	v, disk, st := onDisk(t)
	event := audit.Event{Actor: operator, Action: audit.EgressRequest, Outcome: audit.Allowed}
	for range 100 {
		must(t, v.Note(ctx, event))
	}
	must(t, v.Noted(ctx))
	log, _ := v.Audit()
	report, err := log.Verify(ctx, st)
	must(t, err)
	if report.Records != 101 { // and vault.init
		t.Fatalf("%d records are durable", report.Records)
	}
	disk.full.Store(true)
	must(t, v.Note(ctx, event))
	wantCode(t, v.Noted(ctx), fault.AuditUnavailable)
	disk.full.Store(false)
	must(t, v.Noted(ctx))
	must(t, v.Close(ctx))
	must(t, v.Noted(ctx)) // nothing is left to wait for
}
