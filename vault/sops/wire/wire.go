// Package wire is the language between the daemon and its helper zavhoz-sops: numbered, length-bounded frames over a pipe.
//
// Promise: whatever bytes come in, reading them ends in a value or in one error, never in a panic, and takes no more memory than a small multiple of
// what truly came. Nothing secret is in an argument, an environment or a text of an error: values travel as secret.Secret, failures as a number.
//
// Attacks stopped: a broken or taken-over helper that answers with endless, nested or false lengths (threat-model.md 67); an error text that carries a
// value back (65).
//
// A frame is a length (4 bytes, big endian, of what follows), an operation (1 byte), a number (4 bytes: the reply repeats the request's) and a body.
// The helper speaks first, with Hello. Its side holds a key only while it works and never an identity: the daemon unwraps data keys by itself.
package wire

import (
	"encoding/binary"
	"errors"
	"io"
)

// Version of the protocol. Both sides refuse another.
const Version = 2

// Limits.
const (
	MaxFile   = 64 << 20           // bytes of a SOPS file
	MaxFrame  = MaxFile + 16<<20   // bytes of a frame
	MaxDepth  = 64                 // of maps and lists within each other
	MaxNodes  = 1 << 20            // values of a file
	MaxKeys   = 1024               // recipients of a file
	MaxConfig = 1 << 20            // bytes of a .sops.yaml
	headerLen = 4 + 1 + 4          // length, operation, number
	readStep  = 256 << 10          // memory is taken as bytes come
	hello     = "zavhoz-sops wire" // what a helper's first frame begins with
)

// Op is what a frame asks or answers.
type Op byte

// The operations. Numbers are frozen within a Version.
const (
	OpHello   Op = 1  // Hello, by the helper, before anything is asked
	OpInspect Op = 2  // InspectRequest → Info; the file stays loaded for the next
	OpOpen    Op = 3  // KeyRequest → Tree
	OpEdit    Op = 4  // EditRequest → File
	OpRewrap  Op = 5  // RewrapRequest → File
	OpRotate  Op = 6  // RotateRequest → File
	OpCreate  Op = 7  // CreateRequest → File
	OpRules   Op = 8  // RulesRequest → Rules
	OpSplit   Op = 9  // SplitRequest → Shares
	OpCombine Op = 10 // Shares → one share: the data key
	OpFail    Op = 255
)

// Errors of this package: what came is no frame, or its body is not what the operation carries.
var (
	ErrFrame = errors.New("wire: broken frame")
	ErrBody  = errors.New("wire: broken body")
)

// Frame is one message.
type Frame struct {
	Op     Op
	Number uint32
	Body   []byte
}

// Wipe overwrites the body.
func (f Frame) Wipe() { clear(f.Body[:cap(f.Body)]) }

// Write sends a frame, its head and body in one go, and wipes its own copy.
func Write(w io.Writer, f Frame) error {
	if len(f.Body) > MaxFrame-5 {
		return ErrFrame
	}
	b := make([]byte, 0, headerLen+len(f.Body))
	b = binary.BigEndian.AppendUint32(b, uint32(5+len(f.Body)))
	b = append(b, byte(f.Op))
	b = binary.BigEndian.AppendUint32(b, f.Number)
	b = append(b, f.Body...)
	defer clear(b)
	_, err := w.Write(b)
	return err
}

// Read takes one frame. io.EOF means that the other side closed between two frames.
func Read(r io.Reader) (Frame, error) {
	var head [headerLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return Frame{}, io.EOF
		}
		return Frame{}, ErrFrame
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 5 || n > MaxFrame {
		return Frame{}, ErrFrame
	}
	body, err := readBody(r, int(n-5))
	if err != nil {
		return Frame{}, err
	}
	return Frame{Op(head[4]), binary.BigEndian.Uint32(head[5:]), body}, nil
}

// readBody takes memory as bytes come: a false length of 64 MiB costs its sender 64 MiB.
func readBody(r io.Reader, n int) ([]byte, error) {
	body := make([]byte, 0, min(n, readStep))
	for len(body) < n {
		if len(body) == cap(body) {
			larger := make([]byte, len(body), min(n, 4*cap(body)))
			copy(larger, body)
			clear(body)
			body = larger
		}
		part := body[len(body):min(n, cap(body))]
		got, err := io.ReadFull(r, part)
		body = body[:len(body)+got]
		if err != nil {
			clear(body)
			return nil, ErrFrame
		}
	}
	return body, nil
}
