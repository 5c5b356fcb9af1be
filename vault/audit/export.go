package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

const (
	exportType    = "zavhoz-audit-export"
	maxExportLine = 1 << 20
)

// exportHeader is an export's first line.
type exportHeader struct {
	Format    int        `json:"format"` // 1; 2 where there are handovers, which format 1 did not know
	Type      string     `json:"type"`   // zavhoz-audit-export
	VaultID   string     `json:"vault_id"`
	PublicKey string     `json:"public_key"` // hex Ed25519
	CreatedAt time.Time  `json:"created_at"`
	Handovers []Handover `json:"handovers,omitempty"` // from the vault's first audit key to this one
}

// Export writes the whole log as lines of JSON: a header, every record as it is stored, a signed checkpoint that covers all before it. The
// chains are verified on the way; of a broken one no signed export is made.
func (l *Log) Export(ctx context.Context, st store.Store, w io.Writer) (Report, error) {
	var rep Report
	err := st.View(ctx, func(tx store.Tx) (err error) {
		rep, err = l.export(ctx, tx, w)
		return err
	})
	return rep, err
}

func (l *Log) export(ctx context.Context, tx store.Tx, w io.Writer) (Report, error) {
	out := &digester{w: bufio.NewWriterSize(w, 64<<10), h: sha256.New()}
	pub, err := l.PublicKey()
	if err != nil {
		return Report{}, err
	}
	head := exportHeader{Format: 1, Type: exportType, VaultID: l.k.VaultID(), PublicKey: hex.EncodeToString(pub), CreatedAt: l.now().UTC()}
	if head.Handovers, err = l.handed(tx); err != nil {
		return Report{}, err
	}
	if len(head.Handovers) > 0 {
		head.Format = 2
	}
	h, err := oneLine(head)
	if err != nil {
		return Report{}, err
	}
	out.write(h)
	rep, err := l.walk(ctx, tx, func(line []byte) error {
		out.write(line)
		out.write([]byte("\n"))
		return out.err
	})
	if err != nil {
		return rep, err
	}
	c, err := l.checkpoint(tx)
	if err != nil {
		return rep, err
	}
	c.Records, c.Digest = rep.Records, hex.EncodeToString(out.h.Sum(nil))
	if c, err = l.sign(c); err != nil {
		return rep, err
	}
	end, err := c.encode()
	if err != nil {
		return rep, err
	}
	out.write(end)
	return rep, out.close()
}

// digester writes and hashes; its first error sticks.
type digester struct {
	w   *bufio.Writer
	h   hash.Hash
	err error
}

func (d *digester) write(b []byte) {
	if d.err == nil {
		d.h.Write(b)
		_, d.err = d.w.Write(b)
	}
}

func (d *digester) close() error {
	if d.err == nil {
		d.err = d.w.Flush()
	}
	if d.err != nil {
		return fmt.Errorf("audit: write the export: %w", d.err)
	}
	return nil
}

func brokenExport(format string, args ...any) *fault.Error {
	return fault.Newf(fault.AuditBroken, "the export is not as it was written: "+format, args...).WithNext("get it again from its source")
}

// VerifyExport checks an export offline: every byte of it is covered. With pub nil the key that the export names is used, and the
// Report says SelfSigned: such an export is whole, but anybody may have made it.
func VerifyExport(r io.Reader, pub ed25519.PublicKey) (Report, error) {
	v := &exportReader{in: bufio.NewReaderSize(r, 4<<10), h: sha256.New(), chains: newChains()}
	if err := v.header(pub); err != nil {
		return v.rep, err
	}
	line, err := v.line()
	if errors.Is(err, io.EOF) {
		return v.rep, brokenExport("it ends after its first line")
	}
	if err != nil {
		return v.rep, err
	}
	for {
		next, err := v.line()
		if errors.Is(err, io.EOF) {
			return v.rep, v.end(line)
		}
		if err != nil {
			return v.rep, err
		}
		if err := v.record(line); err != nil {
			return v.rep, err
		}
		line = next
	}
}

type exportReader struct {
	in     *bufio.Reader
	h      hash.Hash // over all lines but the last
	chains *chains
	pub    ed25519.PublicKey
	rep    Report
}

// line gives the next line without its end; io.EOF after the last.
func (v *exportReader) line() ([]byte, error) {
	var line []byte
	for {
		b, err := v.in.ReadSlice('\n')
		if line = append(line, b...); len(line) > maxExportLine {
			return nil, brokenExport("a line is too long")
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, brokenExport("the last line is cut")
		default:
			return nil, fmt.Errorf("audit: read the export: %w", err)
		}
	}
}

func (v *exportReader) header(pub ed25519.PublicKey) error {
	line, err := v.line()
	var h exportHeader
	if err != nil || !strict(line, &h) || h.Type != exportType {
		return brokenExport("it does not begin as an export")
	}
	if h.Format != 1 && h.Format != 2 || h.Format == 1 && len(h.Handovers) > 0 {
		return fault.Newf(fault.VaultFormat, "the export has format %d", h.Format).WithNext("upgrade zavhoz")
	}
	own, err := hex.DecodeString(h.PublicKey)
	if err != nil || len(own) != ed25519.PublicKeySize {
		return brokenExport("its key is not a key")
	}
	v.pub, v.rep.VaultID = own, h.VaultID
	v.rep.SelfSigned = pub == nil
	v.rep.FormerKey = pub != nil && !pub.Equal(ed25519.PublicKey(own))
	if v.rep.FormerKey && !follow(pub, h.VaultID, h.Handovers).Equal(ed25519.PublicKey(own)) {
		return fault.New(fault.AuditBroken, "the export was made by another vault than the one whose key was given", "")
	}
	v.cover(line)
	return nil
}

func (v *exportReader) cover(line []byte) {
	v.h.Write(line)
	v.h.Write([]byte("\n"))
}

func (v *exportReader) record(line []byte) error {
	r, ok := decode(line)
	if !ok || !writerShape.MatchString(r.Writer) {
		return brokenExport("line %d is not a record, or was changed", v.rep.Records+2)
	}
	if err := v.chains.of(r.Writer).follow(line); err != nil {
		return err
	}
	if v.rep.First.IsZero() || r.Time.Before(v.rep.First) {
		v.rep.First = r.Time
	}
	if r.Time.After(v.rep.Last) {
		v.rep.Last = r.Time
	}
	v.rep.Records++
	v.cover(line)
	return nil
}

func (v *exportReader) end(line []byte) error {
	var c Checkpoint
	if !strict(line, &c) || c.Type != checkpointType || c.Format != 1 {
		return brokenExport("it does not end with a checkpoint")
	}
	if !c.signedBy(v.pub) {
		return brokenExport("its last line is not signed by its key")
	}
	if c.VaultID != v.rep.VaultID || c.Records != v.rep.Records || c.Digest != hex.EncodeToString(v.h.Sum(nil)) {
		return brokenExport("its lines are not those that were signed")
	}
	v.rep.Heads, v.rep.Checkpoints = c.Heads, 1
	return v.chains.endAt(c.Heads)
}

// strict decodes a line that must be spelled as we would spell it.
func strict(line []byte, to any) bool {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return false
	}
	again, err := oneLine(to)
	return err == nil && bytes.Equal(again, append(line[:len(line):len(line)], '\n'))
}
