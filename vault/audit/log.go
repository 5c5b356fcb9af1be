package audit

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// The collections of the log. Records are plain lines of JSON, authenticated by their chain; heads and checkpoints are records of the book.
const (
	Records     store.Collection = "audit"
	Heads       store.Collection = "audit_heads"
	Checkpoints store.Collection = "audit_checkpoints"
)

// checkpointEvery is how many records of a chain lie between signed checkpoints.
const checkpointEvery = 1000

// Options are what a Log is opened with.
type Options struct {
	Writer string           // the chain this process writes: ^[a-z0-9][a-z0-9_-]{0,31}$; default "main"
	Clock  func() time.Time // default time.Now
}

// Log appends to one chain and reads all. Its methods may be called by many goroutines.
type Log struct {
	k           *keyring.Keyring
	ring        *keys.Ring
	writer      string
	now         func() time.Time
	heads       *record.Set[head]
	checkpoints *record.Set[Checkpoint]
	handovers   *record.Set[Handover]
}

// head is the end of a chain.
type head struct {
	Seq  uint64    `json:"seq"`
	Hash string    `json:"hash"`
	Time time.Time `json:"time"`
}

var writerShape = lazyregexp.New(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// New makes a Log. It panics on a writer of the wrong shape, which is a defect of the program.
func New(b *record.Book, k *keyring.Keyring, o Options) *Log {
	if o.Writer == "" {
		o.Writer = "main"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if !writerShape.MatchString(o.Writer) {
		panic("audit: a writer's name has the wrong shape")
	}
	return &Log{
		k: k, ring: k.Ring(keys.Warrant{}), writer: o.Writer, now: o.Clock,
		heads: record.NewSet[head](b, Heads), checkpoints: record.NewSet[Checkpoint](b, Checkpoints),
		handovers: record.NewSet[Handover](b, Handovers),
	}
}

// PublicKey verifies exports and checkpoints of this vault.
func (l *Log) PublicKey() (ed25519.PublicKey, error) { return l.k.PublicKey() }

// Append adds e to this writer's chain, in the transaction of what it records. Texts of e are cleaned (see clean).
func (l *Log) Append(tx store.Tx, e Event) error { return l.AppendCount(tx, e, 0) }

// AppendCount is Append for n equal events in one record.
func (l *Log) AppendCount(tx store.Tx, e Event, n uint64) error {
	h, err := l.heads.Get(tx, l.writer)
	if errors.Is(err, store.ErrNotFound) {
		h, err = head{Hash: genesis}, nil
	}
	if err != nil {
		return err
	}
	t := l.now().UTC().Round(0) // without the monotonic clock: what is kept in memory is what is read back
	if t.Before(h.Time) {
		t = h.Time // a clock set back must not make the chain go back: filters by time rely on its order
	}
	r := Record{Format: 1, Writer: l.writer, Seq: h.Seq + 1, Time: t, Event: clean(e), Count: n, Prev: h.Hash}
	line, hash, err := encode(r)
	if err != nil {
		return fault.New(fault.AuditUnavailable, "an audit record cannot be written", "").Because(err)
	}
	if err := tx.Put(Records, recordKey(l.writer, r.Seq), line); err != nil {
		return err
	}
	if err := l.heads.Hold(tx, l.writer, head{Seq: r.Seq, Hash: hash, Time: t}); err != nil {
		return err
	}
	if r.Seq%checkpointEvery == 0 {
		return l.keepCheckpoint(tx)
	}
	return nil
}

func recordKey(writer string, seq uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], seq)
	return writer + "/" + hex.EncodeToString(b[:])
}

// Head is the end of one chain at a moment.
type Head struct {
	Writer string `json:"writer"`
	Seq    uint64 `json:"seq"`
	Hash   string `json:"hash"`
}

// ends lists the heads of all chains, in order of writers.
func (l *Log) ends(tx store.Tx) ([]Head, error) {
	var out []Head
	err := l.heads.Scan(tx, "", "", func(writer string, h head) (bool, error) {
		out = append(out, Head{writer, h.Seq, h.Hash})
		return true, nil
	})
	return out, err
}

func (l *Log) keepCheckpoint(tx store.Tx) error {
	c, err := l.checkpoint(tx)
	if err != nil {
		return err
	}
	return l.checkpoints.Put(tx, recordKey(l.writer, c.seqOf(l.writer)), c)
}

func broken(format string, args ...any) *fault.Error {
	return fault.Newf(fault.AuditBroken, "the audit chain is broken: "+format, args...).
		WithNext("keep a copy of the vault as evidence, then restore from a backup; `zavhoz doctor` says more")
}
