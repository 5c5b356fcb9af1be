package wire

import "fmt"

// Code says why the helper refused.
type Code byte

// The codes. Numbers are frozen within a Version.
const (
	FailInternal  Code = 1  // a defect of the helper
	FailProtocol  Code = 2  // the request is not one, or comes out of turn
	FailNotSOPS   Code = 3  // the file has no SOPS metadata, or they are broken
	FailSyntax    Code = 4  // the file is not of its format
	FailMAC       Code = 5  // missing or wrong: changed by something that is not SOPS
	FailValue     Code = 6  // a value does not open: damaged, moved, or another data key
	FailTooLarge  Code = 7  // larger, deeper or with more values than the limits
	FailDuplicate Code = 8  // a key that is there twice
	FailAnchor    Code = 9  // YAML anchors and aliases, which SOPS never writes
	FailBinary    Code = 10 // the binary format
	FailPath      Code = 11 // there is nothing at a path that is to be removed, or a value in the way
	FailRules     Code = 12 // a .sops.yaml that is broken, or where no rule fits the file
	FailForeign   Code = 13 // keys of another kind than age stand in the way
	FailValueType Code = 14 // a value that the format cannot hold
	FailClear     Code = 15 // a value that is to be encrypted would stand in the file in clear, or one that is encrypted would not be any more
)

// Fail is a refusal of the helper. It says nothing of any content.
type Fail struct {
	Code Code
	Line int // in the file, 0 if not known
}

// Error gives the numbers.
func (f Fail) Error() string { return fmt.Sprintf("zavhoz-sops refuses: %d, line %d", f.Code, f.Line) }

// Encode gives the body.
func (f Fail) Encode() []byte { return body(func(w *writer) { w.byte(byte(f.Code)); w.uint(f.Line) }) }

// DecodeFail reads the body.
func DecodeFail(b []byte) (Fail, error) {
	return whole(b, func(r *reader) Fail { return Fail{Code(r.byte()), r.uint(MaxFile)} })
}
