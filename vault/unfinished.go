package vault

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// cMoves holds what is known of a store before it is a whole vault, and after it is none any more. It is no part of the vault: it is readable without keys,
// has no accounts, and is not copied.
const cMoves store.Collection = "moves"

// Its keys.
const (
	unfinishedKey = "unfinished"
	movedKey      = "moved"
)

// Unfinished marks a store that a vault is being copied into. While the mark is there nothing opens it.
type Unfinished struct {
	Format      int                `json:"format"` // 1
	VaultID     string             `json:"vault_id"`
	StartedAt   time.Time          `json:"started_at"`
	Collections []store.Collection `json:"collections"` // that may hold rows by now
}

// moved marks a store whose vault lives elsewhere since.
type moved struct {
	Format int       `json:"format"` // 1
	At     time.Time `json:"at"`
}

// MarkUnfinished writes the mark.
func MarkUnfinished(tx store.Tx, u Unfinished) error {
	u.Format = 1
	return putMark(tx, unfinishedKey, u)
}

// UnfinishedMark reads the mark; nil where there is none. Errors: fault vault_corrupt, vault_format.
func UnfinishedMark(tx store.Tx) (*Unfinished, error) {
	var u Unfinished
	there, err := getMark(tx, unfinishedKey, &u)
	if err != nil || !there {
		return nil, err
	}
	if u.Format != 1 {
		return nil, fault.Newf(fault.VaultFormat, "the mark of an unfinished copy has format %d, this zavhoz knows 1", u.Format).WithNext("upgrade zavhoz")
	}
	return &u, nil
}

// ClearUnfinished takes the mark away: from here on the store is a vault.
func ClearUnfinished(tx store.Tx) error { return tx.Delete(cMoves, unfinishedKey) }

// MarkMoved says that the vault lives elsewhere: nothing opens this store any more.
func MarkMoved(tx store.Tx, at time.Time) error {
	return putMark(tx, movedKey, moved{Format: 1, At: at.UTC().Truncate(time.Second)})
}

func putMark(tx store.Tx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put(cMoves, key, b)
}

func getMark(tx store.Tx, key string, into any) (bool, error) {
	b, err := tx.Get(cMoves, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return true, fault.New(fault.VaultCorrupt, "the mark of a copy or a move is damaged", "restore the vault from a backup").Because(err)
	}
	return true, nil
}

// refuseMarked refuses a store that is not a vault yet, or no more.
func refuseMarked(tx store.Tx) error {
	u, err := UnfinishedMark(tx)
	if err != nil {
		return err
	}
	if u != nil {
		return fault.New(fault.NotInitialized, "a copy of a vault into this store did not finish", "run the same `zavhoz migrate` again: it starts over; or remove the file")
	}
	var m moved
	there, err := getMark(tx, movedKey, &m)
	if err == nil && there {
		return fault.New(fault.NotInitialized, "the vault was moved from here to another store", "use it there: what is changed here would be lost")
	}
	return err
}

// Header reads the keyring's header, which is readable while the vault is locked. Errors: fault not_initialized where the store is not a whole vault yet, or was
// moved; vault_corrupt; store errors.
func Header(ctx context.Context, st store.Store) (header []byte, err error) {
	err = st.View(ctx, func(tx store.Tx) error {
		header, err = HeaderTx(tx)
		return err
	})
	return header, StoreFault(err)
}
