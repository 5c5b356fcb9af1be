package egress

import (
	"encoding/binary"
	"errors"
	"io"
)

// errFrame says that what came is no WebSocket frame that may pass.
var errFrame = errors.New("egress: not a valid WebSocket frame")

// The opcodes of RFC 6455 §5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// frame is the header of a WebSocket frame.
type frame struct {
	fin    bool
	op     byte
	masked bool
	mask   [4]byte
	length int64 // of the payload, in bytes
}

// maxFrameHeader is the longest header, in bytes.
const maxFrameHeader = 14

func (f frame) control() bool { return f.op >= opClose }

// readFrame reads a header, and refuses what RFC 6455 does not allow without extensions: reserved bits and opcodes, lengths not in their shortest form, control
// frames that are long or in pieces.
func readFrame(r io.Reader) (f frame, err error) {
	var b [8]byte
	if _, err = io.ReadFull(r, b[:2]); err != nil {
		return f, err
	}
	f.fin, f.op, f.masked = b[0]&0x80 != 0, b[0]&0x0f, b[1]&0x80 != 0
	if b[0]&0x70 != 0 || (f.op > opBinary && f.op < opClose) || f.op > opPong {
		return f, errFrame
	}
	switch n := b[1] & 0x7f; n {
	case 126:
		if _, err = io.ReadFull(r, b[:2]); err != nil {
			return f, unexpected(err)
		}
		if f.length = int64(binary.BigEndian.Uint16(b[:])); f.length < 126 {
			return f, errFrame
		}
	case 127:
		if _, err = io.ReadFull(r, b[:8]); err != nil {
			return f, unexpected(err)
		}
		if f.length = int64(binary.BigEndian.Uint64(b[:])); f.length < 1<<16 { // negative too
			return f, errFrame
		}
	default:
		f.length = int64(n)
	}
	if f.control() && (!f.fin || f.length > 125) {
		return f, errFrame
	}
	if f.masked {
		if _, err = io.ReadFull(r, f.mask[:]); err != nil {
			return f, unexpected(err)
		}
	}
	return f, nil
}

// append writes the header.
func (f frame) append(b []byte) []byte {
	first, mask := f.op, byte(0)
	if f.fin {
		first |= 0x80
	}
	if f.masked {
		mask = 0x80
	}
	switch b = append(b, first); {
	case f.length < 126:
		b = append(b, mask|byte(f.length))
	case f.length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(f.length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(f.length))
	}
	if f.masked {
		b = append(b, f.mask[:]...)
	}
	return b
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// order holds the frames of one direction to the rules about messages: a continuation only inside of one, a new one only outside.
type order struct{ inside bool }

func (o *order) next(f frame) error {
	if f.control() {
		return nil
	}
	if (f.op == opContinuation) != o.inside {
		return errFrame
	}
	o.inside = !f.fin
	return nil
}
