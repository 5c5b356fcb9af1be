package deliver

import (
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Plan is what a person's own run (`zavhoz run --open`) receives from the daemon: what to deliver, and what to keep out of its output. It crosses the
// operator's socket in a form of its own: decoding a thousand secrets as JSON would cost more than starting the command.
type Plan struct {
	RunID  string
	Items  []Item
	Redact []Labelled // what to mask, the delivered values included
}

// Labelled is a value to mask under a public name.
type Labelled struct {
	Label string // handle.field
	Value secret.Secret
}

// ErrPlan says that bytes are not an encoded Plan.
var ErrPlan = errors.New("deliver: not a run plan")

// magic starts every encoded Plan; its last byte is the format.
const magic = "zvhplan\x01"

// Encode writes the plan: magic, run id, then counted items and labels; every text is a uvarint length and its bytes. The result holds
// true values: hand it to the operator's socket and wipe it.
func (p *Plan) Encode() []byte {
	size := len(magic) + len(p.RunID) + 32
	for _, it := range p.Items {
		size += len(it.Name) + len(it.Handle) + it.Value.Len() + 16
	}
	for _, l := range p.Redact {
		size += len(l.Label) + l.Value.Len() + 16
	}
	b := append(make([]byte, 0, size), magic...) // large enough: growing would leave copies behind
	b = text(b, p.RunID)
	b = binary.AppendUvarint(b, uint64(len(p.Items)))
	for _, it := range p.Items {
		b = text(text(b, it.Name), it.Handle)
		as := byte(0)
		if it.File {
			as = 1
		}
		b = text(append(b, as), it.Value.Reveal())
	}
	b = binary.AppendUvarint(b, uint64(len(p.Redact)))
	for _, l := range p.Redact {
		b = text(text(b, l.Label), l.Value.Reveal())
	}
	return b
}

// WriteTo writes the encoded plan and wipes the copy that it made.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	b := p.Encode()
	defer clear(b)
	n, err := w.Write(b)
	return int64(n), err
}

func text[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DecodePlan reads what Encode wrote. The plan's secrets point into b, which the caller must neither change nor wipe before the plan.
func DecodePlan(b []byte) (*Plan, error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return nil, ErrPlan
	}
	r := reader{rest: b[len(magic):]}
	p := &Plan{RunID: string(r.text())}
	p.Items = make([]Item, r.count())
	for i := range p.Items {
		name, handle := string(r.text()), string(r.text())
		p.Items[i] = Item{Name: name, Handle: handle, File: r.byte() == 1, Value: secret.New(r.text())}
	}
	p.Redact = make([]Labelled, r.count())
	for i := range p.Redact {
		p.Redact[i] = Labelled{Label: string(r.text()), Value: secret.New(r.text())}
	}
	if r.failed || len(r.rest) != 0 {
		return nil, ErrPlan
	}
	return p, nil
}

// Wipe erases the plan's values.
func (p *Plan) Wipe() {
	for _, it := range p.Items {
		it.Value.Wipe()
	}
	for _, l := range p.Redact {
		l.Value.Wipe()
	}
}

// reader reads length-prefixed texts; after the first failure it gives nothing.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) number() uint64 {
	n, used := binary.Uvarint(r.rest)
	if used <= 0 || n > math.MaxInt32 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

// count reads how many entries follow. Each takes two bytes at least, so a lie cannot make us allocate more than a multiple of the input.
func (r *reader) count() uint64 {
	n := r.number()
	if n > uint64(len(r.rest))/2 {
		r.failed, r.rest = true, nil
		return 0
	}
	return n
}

func (r *reader) text() []byte {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	s := r.rest[:n:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.failed = true
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}
