package audit

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// Report is what a verification found to be in order. A Report beside an error says how far it came.
type Report struct {
	VaultID     string    `json:"vault_id"`
	Records     uint64    `json:"records"`
	Heads       []Head    `json:"heads"`
	Checkpoints int       `json:"checkpoints"`           // signatures checked
	First       time.Time `json:"first,omitzero"`        // of an export: time of the earliest record
	Last        time.Time `json:"last,omitzero"`         // of an export: time of the latest record
	SelfSigned  bool      `json:"self_signed,omitempty"` // the export was checked with the key that it names itself
	FormerKey   bool      `json:"former_key,omitempty"`  // the key given was replaced since, and handed over to the one that signed
}

// Verify follows every chain to its head and checks every checkpoint. Errors: fault audit_broken, naming the chain and the record;
// record_tampered where a head or checkpoint is not authentic. Chains that vanished whole are found by record.Book.Verify.
func (l *Log) Verify(ctx context.Context, st store.Store) (Report, error) {
	var rep Report
	err := st.View(ctx, func(tx store.Tx) (err error) {
		rep, err = l.VerifyTx(ctx, tx)
		return err
	})
	return rep, err
}

// VerifyTx is Verify within a transaction.
func (l *Log) VerifyTx(ctx context.Context, tx store.Tx) (Report, error) { return l.walk(ctx, tx, nil) }

// point is a place of a chain that a checkpoint speaks of.
type point struct {
	writer string
	seq    uint64
}

// walk verifies all chains and gives every line to each, where each is not nil.
func (l *Log) walk(ctx context.Context, tx store.Tx, each func(line []byte) error) (Report, error) {
	rep := Report{VaultID: l.k.VaultID()}
	heads, err := l.ends(tx)
	if err != nil {
		return rep, err
	}
	rep.Heads = heads
	points, n, err := l.checkpointed(tx)
	if err != nil {
		return rep, err
	}
	rep.Checkpoints = n
	chains := newChains()
	err = tx.Scan(Records, "", "", func(key string, line []byte) (bool, error) {
		c, err := chains.next(key, line)
		if err != nil {
			return false, err
		}
		at := point{c.writer, c.seq}
		if want, ok := points[at]; ok && want != c.hash {
			return false, broken("record %d of %s is not the one that a checkpoint names", c.seq, c.writer)
		}
		delete(points, at)
		rep.Records++
		if each != nil {
			if err := each(line); err != nil {
				return false, err
			}
		}
		return true, ctx.Err()
	})
	if err != nil {
		return rep, err
	}
	for at := range points {
		return rep, broken("record %d of %s, which a checkpoint names, is missing", at.seq, at.writer)
	}
	return rep, chains.endAt(heads)
}

// checkpointed checks the signatures of the checkpoints kept and gives what they say.
func (l *Log) checkpointed(tx store.Tx) (map[point]string, int, error) {
	points, n := map[point]string{}, 0
	err := l.checkpoints.Scan(tx, "", "", func(key string, c Checkpoint) (bool, error) {
		i, err := keys.ParseID(c.Key)
		if err != nil {
			return false, broken("the checkpoint %q has no key", key)
		}
		pub, err := l.publicOf(tx, i)
		if err != nil || !c.signedBy(pub) || c.VaultID != l.k.VaultID() {
			return false, broken("the checkpoint %q is not signed by this vault", key)
		}
		for _, h := range c.Heads {
			points[point{h.Writer, h.Seq}] = h.Hash
		}
		n++
		return true, nil
	})
	return points, n, err
}

// chain is how far one chain has been followed.
type chain struct {
	writer string
	seq    uint64
	hash   string
}

type chains struct{ ends map[string]*chain }

func newChains() *chains { return &chains{map[string]*chain{}} }

// next holds a stored line against its key and the line before it. It reads no JSON: a line that begins and ends as it must and whose
// hash leads to an authentic head is ours.
func (c *chains) next(key string, line []byte) (*chain, error) {
	writer, _, _ := bytes.Cut([]byte(key), []byte("/"))
	if !writerShape.Match(writer) {
		return nil, broken("an unknown row %.80q was added", key)
	}
	at := c.of(string(writer))
	if key != recordKey(at.writer, at.seq+1) {
		return nil, broken("record %d of %s is missing, or an unknown row %.80q was added", at.seq+1, at.writer, key)
	}
	return at, at.follow(line)
}

func (c *chains) of(writer string) *chain {
	if c.ends[writer] == nil {
		c.ends[writer] = &chain{writer: writer, hash: genesis}
	}
	return c.ends[writer]
}

// follow takes one step along the chain.
func (c *chain) follow(line []byte) error {
	hash := hashOf(line)
	begin := fmt.Appendf(nil, `{"format":1,"writer":"%s","seq":%d,"time":"`, c.writer, c.seq+1)
	end := `,"prev":"` + c.hash + `"` + hashKey + hash + `"}`
	if hash == "" || !bytes.HasPrefix(line, begin) || !bytes.HasSuffix(line, []byte(end)) {
		return broken("record %d of %s was changed, or the one before it was", c.seq+1, c.writer)
	}
	c.seq, c.hash = c.seq+1, hash
	return nil
}

// endAt holds the ends reached against the heads.
func (c *chains) endAt(heads []Head) error {
	known := map[string]bool{}
	for _, h := range heads {
		known[h.Writer] = true
		if at := c.of(h.Writer); at.seq != h.Seq || at.hash != h.Hash {
			return broken("%s ends at record %d, and its head says %d", h.Writer, at.seq, h.Seq)
		}
	}
	for writer, at := range c.ends {
		if !known[writer] {
			return broken("%s has %d records and no head", writer, at.seq)
		}
	}
	return nil
}
