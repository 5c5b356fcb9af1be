package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// The journal's format, version 1 (docs/formats.md). The file is two slots of one size, each a head and frames, all at multiples of a block: what is written
// never touches a block that holds what was acknowledged before. Numbers are big-endian.
const (
	block = 4 << 10

	headMagic    = "zvhjrnl\x01"
	headLen      = 8 + 8 + 8 + nonceLen + nonceLen + sumLen // magic, generation, slot size, nonce, nonce of the generation before, sum
	frameMagic   = "zvhframe"
	frameLen     = 8 + nonceLen + 8 + 8 + 4 + sumLen + sumLen // magic, nonce, generation, number, payload length, sum of the frame before, sum
	nonceLen     = 16
	sumLen       = 16
	minSlot      = 4 * block
	maxSlot      = 64 << 20
	headLabel    = "zavhoz journal head 1\x00"
	frameLabel   = "zavhoz journal frame 1\x00"
	opPut        = 1
	opDelete     = 2
	worstVarints = 2 * binary.MaxVarintLen64
)

type (
	nonce [nonceLen]byte
	sum   [sumLen]byte
)

// jhead begins a slot: which generation of frames it holds. The nonce is drawn anew for each, so that no frame of another generation, or of another
// journal, is ever taken for one of this.
type jhead struct {
	gen    uint64
	slot   uint64 // bytes of each slot
	nonce  nonce
	former nonce // of the generation before; zero where that was in another journal
}

func (h jhead) encode() []byte {
	b := append(make([]byte, 0, block), headMagic...)
	b = binary.BigEndian.AppendUint64(b, h.gen)
	b = binary.BigEndian.AppendUint64(b, h.slot)
	b = append(append(b, h.nonce[:]...), h.former[:]...)
	s := sumOf(headLabel, b)
	return append(b, s[:]...)
}

// readHead reads the head at the begin of b; ok is false for any damage.
func readHead(b []byte) (h jhead, ok bool) {
	if len(b) < headLen || string(b[:8]) != headMagic {
		return jhead{}, false
	}
	at := headLen - sumLen
	if sumOf(headLabel, b[:at]) != sum(b[at:headLen]) {
		return jhead{}, false
	}
	h = jhead{gen: binary.BigEndian.Uint64(b[8:]), slot: binary.BigEndian.Uint64(b[16:]), nonce: nonce(b[24:]), former: nonce(b[24+nonceLen:])}
	return h, h.slot >= minSlot && h.slot <= maxSlot && h.slot%block == 0
}

// sumOf: what was torn or flipped is found, and so is what an older write left behind. Who edits the file on purpose is found by the records' own MACs.
func sumOf(label string, parts ...[]byte) (s sum) {
	h := sha256.New()
	h.Write([]byte(label))
	for _, p := range parts {
		h.Write(p)
	}
	copy(s[:], h.Sum(nil))
	return s
}

// jframe is one acknowledged batch.
type jframe struct {
	nonce   nonce
	gen     uint64
	number  uint64 // 1 for the first of its generation
	former  sum    // of the frame before, also over the border of generations
	sum     sum
	payload []byte
	size    int // bytes in the file, a multiple of a block
}

const atFrameSum = frameLen - sumLen

// encodeFrame gives the frame's bytes, whole blocks, and its sum.
func encodeFrame(n nonce, gen, number uint64, former sum, changes []change) ([]byte, sum) {
	b := make([]byte, 0, frameSize(changes))
	b = append(append(b, frameMagic...), n[:]...)
	b = binary.BigEndian.AppendUint64(b, gen)
	b = binary.BigEndian.AppendUint64(b, number)
	b = append(b, 0, 0, 0, 0)
	b = append(b, former[:]...)
	b = append(b, make([]byte, sumLen)...)
	for _, ch := range changes {
		b = appendChange(b, ch)
	}
	binary.BigEndian.PutUint32(b[8+nonceLen+16:], uint32(len(b)-frameLen))
	s := sumOf(frameLabel, b[:atFrameSum], b[frameLen:])
	copy(b[atFrameSum:], s[:])
	return append(b, make([]byte, blocks(len(b))-len(b))...), s
}

// frameSize is an upper bound, whole blocks.
func frameSize(changes []change) int {
	n := frameLen
	for _, ch := range changes {
		n += 2 + worstVarints + len(ch.Collection) + len(ch.Key) + len(ch.Value)
	}
	return blocks(n)
}

func blocks(n int) int { return (n + block - 1) / block * block }

func appendChange(b []byte, ch change) []byte {
	op := byte(opPut)
	if ch.Fate == backend.Deleted {
		op = opDelete
	}
	b = append(b, op, byte(len(ch.Collection)))
	b = append(b, ch.Collection...)
	b = binary.AppendUvarint(b, uint64(len(ch.Key)))
	b = append(b, ch.Key...)
	if ch.Fate == backend.Deleted {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(ch.Value)))
	return append(b, ch.Value...)
}

// readFrame reads the frame at the begin of b; ok is false where there is none that is whole in itself.
func readFrame(b []byte) (f jframe, ok bool) {
	if len(b) < frameLen || string(b[:8]) != frameMagic {
		return jframe{}, false
	}
	f.nonce = nonce(b[8:])
	rest := b[8+nonceLen:]
	f.gen, f.number = binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])
	n := binary.BigEndian.Uint32(rest[16:])
	if n > math.MaxInt32 || int(n) > len(b)-frameLen {
		return jframe{}, false
	}
	f.former, f.sum = sum(rest[20:]), sum(b[atFrameSum:])
	f.payload, f.size = b[frameLen:frameLen+int(n)], blocks(frameLen+int(n))
	return f, sumOf(frameLabel, b[:atFrameSum], f.payload) == f.sum
}

// decodeChanges reads a frame's payload. The values lie in it.
func decodeChanges(b []byte) (out []change, err error) {
	bad := damaged("a frame of the journal holds no list of changes")
	take := func(n uint64) []byte {
		if n > uint64(len(b)) {
			return nil
		}
		v := b[:n:n]
		b = b[n:]
		return v
	}
	takeLen := func(most uint64) ([]byte, bool) {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > most {
			return nil, false
		}
		b = b[used:]
		v := take(n)
		return v, uint64(len(v)) == n
	}
	for len(b) > 0 {
		op := b[0]
		if len(b) < 2 || op != opPut && op != opDelete {
			return nil, bad
		}
		n := uint64(b[1])
		b = b[2:]
		ch := change{Collection: store.Collection(take(n)), Entry: entry{Fate: backend.Deleted}}
		key, ok := takeLen(store.MaxKey)
		if ch.Key = string(key); !ok || store.CheckKey(ch.Collection, ch.Key) != nil {
			return nil, bad
		}
		if op == opPut {
			if ch.Value, ok = takeLen(store.MaxValue); !ok {
				return nil, bad
			}
			ch.Fate = backend.Written
		}
		out = append(out, ch)
	}
	return out, nil
}
