package bolt

import "encoding/binary"

// binding is what the file says of its journal, in one transaction with what it took from it: which generation of frames comes next, and which frame
// was before those.
type binding struct {
	bound bool // the file needs its journal: what was written last may be in it alone
	gen   uint64
	nonce nonce
	chain sum
}

const (
	journalKey     = "journal"
	bindingVersion = 1
	bindingLen     = 1 + 8 + nonceLen + sumLen
)

func (b binding) encode() []byte {
	out := append(make([]byte, 0, bindingLen), bindingVersion)
	out = binary.BigEndian.AppendUint64(out, b.gen)
	return append(append(out, b.nonce[:]...), b.chain[:]...)
}

func readBinding(raw []byte) (b binding, ok bool) {
	if len(raw) != bindingLen || raw[0] != bindingVersion {
		return binding{}, false
	}
	return binding{gen: binary.BigEndian.Uint64(raw[1:]), nonce: nonce(raw[9:]), chain: sum(raw[9+nonceLen:])}, true
}

// generation is what was found in one slot.
type generation struct {
	at      int // the slot: 0 or 1
	head    jhead
	frames  []jframe
	end     int // in the slot, after the last frame
	changes *pending
}

// replayed is what a journal holds for its file.
type replayed struct {
	gens  []generation // one, or two in order
	chain sum          // of the last frame
	other jhead        // of the slot that is not in gens, if it is ready to follow
	ready bool
}

// replay reads a whole journal for the file that names it by b. The last frame may be torn, for it was never acknowledged: it is left out. Anything else that is
// not as it was written is damage of what was acknowledged, as far as it can be told: the last frame of all, and a torn one, look the same.
func replay(mem []byte, b binding) (*replayed, error) {
	heads, known := bothHeads(mem)
	at := -1
	for i, h := range heads {
		if known[i] && h.nonce == b.nonce && h.gen == b.gen {
			at = i
		}
	}
	if at < 0 {
		return nil, damaged("the journal beside it is not this file's, or not of this moment")
	}
	size := int(heads[at].slot)
	if len(mem) != 2*size {
		return nil, damaged("a journal of %d bytes for two slots of %d", len(mem), size)
	}
	r := &replayed{chain: b.chain}
	if err := r.take(mem, at, heads[at]); err != nil {
		return nil, err
	}
	next := heads[1-at]
	if !known[1-at] || next.slot != heads[at].slot || next.gen != b.gen+1 || next.former != b.nonce {
		return r, r.nothingLeft(mem, 1-at, 0, b.gen)
	}
	if err := r.take(mem, 1-at, next); err != nil {
		return nil, err
	}
	if len(r.gens[1].frames) == 0 { // ready, and not begun
		r.other, r.ready, r.gens = next, true, r.gens[:1]
	}
	return r, nil
}

// bothHeads finds the heads of both slots; where the first is damaged, the second is where the half of the file ends.
func bothHeads(mem []byte) (heads [2]jhead, known [2]bool) {
	half := len(mem) / 2
	heads[0], known[0] = readHead(mem)
	heads[1], known[1] = readHead(mem[half:])
	return heads, known
}

// take reads the frames of one slot.
func (r *replayed) take(mem []byte, at int, h jhead) error {
	slot := mem[at*int(h.slot):][:h.slot]
	g := generation{at: at, head: h, end: block}
	for g.end < len(slot) {
		f, ok := readFrame(slot[g.end:])
		if !ok || f.nonce != h.nonce || f.gen != h.gen || f.number != uint64(len(g.frames)+1) || f.former != r.chain {
			break
		}
		changes, err := decodeChanges(f.payload)
		if err != nil {
			return err
		}
		g.frames, g.changes = append(g.frames, f), g.changes.with(changes)
		r.chain, g.end = f.sum, g.end+f.size
	}
	r.gens = append(r.gens, g)
	return r.nothingLeft(mem, at, g.end, h.gen-1)
}

// nothingLeft refuses frames in a slot, from a place on, that are whole and of a later generation than the one given: something before them is damaged.
func (r *replayed) nothingLeft(mem []byte, at, from int, past uint64) error {
	half := len(mem) / 2
	slot := mem[at*half:][:half]
	for ; from < len(slot); from += block {
		if f, ok := readFrame(slot[from:]); ok && f.gen > past {
			return damaged("a frame of the journal is damaged, and others follow it")
		}
	}
	return nil
}

// holdsFrames tells whether anything in a journal is a whole frame.
func holdsFrames(mem []byte) bool {
	for at := 0; at < len(mem); at += block {
		if _, ok := readFrame(mem[at:]); ok {
			return true
		}
	}
	return false
}
