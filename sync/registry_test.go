package sync_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	stdsync "sync"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// MemoryRegistry keeps rows of many providers in memory, as the vault does in its store.
type MemoryRegistry struct {
	mu     stdsync.Mutex
	rows   map[string]sync.Row
	owner  map[string]string                   // row id → provider; "" for rows of none
	sealed map[string]map[string]secret.Secret // row id → field → value
	state  map[string]sync.State
	locked bool
	fail   error
	retry  bool // call decide twice, as a retried transaction does
	writes int  // rows written
	txs    int
}

var _ sync.Registry = (*MemoryRegistry)(nil)

func NewMemoryRegistry() *MemoryRegistry {
	return &MemoryRegistry{rows: map[string]sync.Row{}, owner: map[string]string{}, sealed: map[string]map[string]secret.Secret{}, state: map[string]sync.State{}}
}

func (m *MemoryRegistry) check() error {
	if m.locked {
		return fault.New(fault.VaultLocked, "the vault is locked", "")
	}
	return m.fail
}

func (m *MemoryRegistry) snapshot(provider string) sync.Snapshot {
	s := sync.Snapshot{State: m.state[provider]}
	for id, r := range m.rows {
		if m.owner[id] == provider {
			s.Rows = append(s.Rows, r)
		}
	}
	return s
}

func (m *MemoryRegistry) Snapshot(ctx context.Context, provider string) (sync.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(); err != nil {
		return sync.Snapshot{}, err
	}
	return m.snapshot(provider), ctx.Err()
}

func (m *MemoryRegistry) Apply(ctx context.Context, provider string, decide func(sync.Snapshot) sync.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	snap := m.snapshot(provider)
	out := decide(snap)
	if m.retry {
		out = decide(snap)
	}
	for _, c := range out.Changes {
		old := m.rows[c.Row.ID]
		if c.Row.Version != old.Version {
			return fault.New(fault.VersionConflict, "a change of another row", "")
		}
		if m.sealed[c.Row.ID] == nil {
			m.sealed[c.Row.ID] = map[string]secret.Secret{}
		}
		for field, v := range c.Seal {
			m.sealed[c.Row.ID][field] = v.Clone()
		}
		c.Row.Version++
		c.Row.Prints = maps.Clone(c.Row.Prints)
		m.rows[c.Row.ID], m.owner[c.Row.ID] = c.Row, provider
		m.writes++
	}
	m.state[provider] = out.State
	m.txs++
	return nil
}

func (m *MemoryRegistry) Print(field string, v secret.Secret) string {
	h := hmac.New(sha256.New, []byte("test key "+field))
	_, _ = h.Write(v.Reveal())
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// by finds the row of a provider's id.
func (m *MemoryRegistry) by(providerID string) sync.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.ProviderID == providerID {
			return r
		}
	}
	return sync.Row{}
}

// edit changes a row as an operator or a health check would.
func (m *MemoryRegistry) edit(providerID string, fn func(*sync.Row)) {
	r := m.by(providerID)
	m.mu.Lock()
	defer m.mu.Unlock()
	fn(&r)
	r.Version++
	m.rows[r.ID] = r
}

func (m *MemoryRegistry) put(provider string, r sync.Row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[r.ID], m.owner[r.ID] = r, provider
}

func (m *MemoryRegistry) set(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn()
}
