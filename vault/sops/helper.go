package sops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// talk is one conversation with a helper of its own.
type talk struct {
	name   string // of the file, for messages
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	number uint32
}

func missingHelper(path string) *fault.Error {
	where := "beside the program zavhoz"
	if path != "" {
		where = "at " + home.Quote(path)
	}
	return fault.New(fault.NotSupported, "SOPS files need the program "+HelperName+", and there is none that runs "+where, "put "+HelperName+" of the same release there: `go install github.com/zavhoz/zavhoz/cmd/"+HelperName+"@latest`, or from a clone `make build`")
}

// start runs the helper without arguments, environment, or anything of ours but two pipes, and hears its version.
func (c *Codec) start(ctx context.Context) (*talk, error) {
	path, err := c.helperPath()
	if err != nil {
		return nil, err
	}
	if err := ownProgram(path); err != nil {
		return nil, err
	}
	t := &talk{cmd: exec.CommandContext(ctx, path)}
	t.cmd.Args, t.cmd.Env, t.cmd.Dir = []string{HelperName}, []string{}, rootDir
	t.cmd.WaitDelay = time.Second
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, fault.Of(err)
	}
	if t.out, err = t.cmd.StdoutPipe(); err != nil {
		return nil, fault.Of(err)
	}
	if err := t.cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return nil, late(ctx)
		}
		return nil, missingHelper(path).Because(err)
	}
	f, err := wire.Read(t.out)
	h, herr := wire.DecodeHello(f.Body)
	if err != nil || herr != nil || f.Op != wire.OpHello || h.Version != wire.Version {
		_ = t.close(false)
		if ctx.Err() != nil {
			return nil, late(ctx)
		}
		return nil, fault.New(fault.NotSupported, "the program "+home.Quote(path)+" is of another version than this zavhoz, or none of zavhoz", "install "+HelperName+" of the same release there").Because(errors.Join(err, herr))
	}
	return t, nil
}

// close ends the helper: by the end of its input if all went well, by a kill otherwise.
func (t *talk) close(well bool) error {
	if !well {
		_ = t.cmd.Process.Kill()
	}
	_ = t.in.Close()
	if well {
		if n, _ := io.CopyN(io.Discard, t.out, 1); n != 0 {
			_ = t.cmd.Process.Kill()
			well = false
		}
	}
	_ = t.out.Close()
	err := t.cmd.Wait()
	if well && err != nil || !well {
		return broken(err)
	}
	return nil
}

func broken(err error) error {
	return fault.New(fault.Internal, "the program "+HelperName+" broke off", "try again; `zavhoz doctor` checks the installation").Because(err)
}

// call asks one thing. The request's body is wiped.
func (t *talk) call(op wire.Op, body []byte) ([]byte, error) {
	t.number++
	q := wire.Frame{Op: op, Number: t.number, Body: body}
	defer q.Wipe()
	if len(body) > wire.MaxFrame-5 {
		return nil, t.refused(wire.Fail{Code: wire.FailTooLarge})
	}
	if err := wire.Write(t.in, q); err != nil {
		return nil, t.gone(err)
	}
	f, err := wire.Read(t.out)
	if err != nil {
		return nil, t.gone(err)
	}
	if f.Number != t.number || f.Op != op && f.Op != wire.OpFail {
		f.Wipe()
		return nil, broken(wire.ErrFrame)
	}
	if f.Op == wire.OpFail {
		why, err := wire.DecodeFail(f.Body)
		if err != nil {
			return nil, broken(err)
		}
		return nil, t.refused(why)
	}
	return f.Body, nil
}

// gone: a helper that ends in the middle of its work met its limits, or one of Go's.
func (t *talk) gone(err error) error {
	return fault.New(fault.TooLarge, "the program "+HelperName+" ended over "+t.file()+": the file is too large or too deep for it", "split the file").Because(err)
}

func (t *talk) file() string {
	if t.name == "" {
		return "the SOPS file"
	}
	return home.Quote(t.name)
}

// ask is call with the reply decoded and its body wiped.
func ask[T any](t *talk, op wire.Op, body []byte, decode func([]byte) (T, error)) (v T, err error) {
	reply, err := t.call(op, body)
	if err != nil {
		return v, err
	}
	defer clear(reply)
	if v, err = decode(reply); err != nil {
		return v, broken(err)
	}
	return v, nil
}

func (t *talk) inspect(name string, file []byte) (wire.Info, error) {
	t.name = name
	if len(file) > wire.MaxFile {
		return wire.Info{}, t.refused(wire.Fail{Code: wire.FailTooLarge})
	}
	return ask(t, wire.OpInspect, wire.InspectRequest{Name: name, File: file}.Encode(), wire.DecodeInfo)
}

// refusals say in our words what the helper's codes mean: %s is the file.
var refusals = map[wire.Code]struct {
	code          fault.Code
	message, next string
}{
	wire.FailNotSOPS:   {fault.InvalidArgument, "%s is not a file that SOPS encrypted", "encrypt it with `sops encrypt --in-place`, or `zavhoz import` it as plain text"},
	wire.FailSyntax:    {fault.InvalidArgument, "%s is broken: it is not of its format", "mend it, or restore it from a copy"},
	wire.FailMAC:       {fault.RecordTampered, "%s was changed without its key: its authentication fails", "restore it from a copy; look who changed it"},
	wire.FailValue:     {fault.RecordTampered, "a value in %s does not open: it was changed or moved without the key", "restore it from a copy; look who changed it"},
	wire.FailTooLarge:  {fault.TooLarge, "%s is larger or deeper than zavhoz reads: 64 MiB, 64 levels, a million values", "split the file"},
	wire.FailDuplicate: {fault.InvalidArgument, "%s has a key twice", "remove one of them, with `sops edit`"},
	wire.FailAnchor:    {fault.NotSupported, "%s holds YAML anchors or aliases, which SOPS never writes", "write the values out, with `sops edit`"},
	wire.FailBinary:    {fault.NotSupported, "%s is a SOPS file of the binary format, which has no keys", "keep single values as `zavhoz resource add generic`"},
	wire.FailPath:      {fault.VersionConflict, "%s has no such entry any more, or a value where a map should be", "read it again"},
	wire.FailRules:     {fault.InvalidArgument, "the .sops.yaml has no creation rule for %s, or is broken", "mend its creation_rules"},
	wire.FailValueType: {fault.InvalidArgument, "%s cannot hold a value or a name of this kind", "dotenv and INI hold names and texts only"},
}

// refused says in our words what a code of the helper means.
func (t *talk) refused(why wire.Fail) error {
	switch why.Code {
	case wire.FailForeign:
		return foreign(t.file())
	case wire.FailClear:
		return staysClear(t.file())
	}
	r, known := refusals[why.Code]
	if !known {
		return broken(why)
	}
	if why.Line <= 0 {
		return fault.Newf(r.code, r.message, t.file()).WithNext("%s", r.next).Because(why)
	}
	return fault.Newf(r.code, r.message, fmt.Sprintf("%s (line %d)", t.file(), why.Line)).WithNext("%s", r.next).With("line", why.Line).Because(why)
}

func staysClear(f string) *fault.Error {
	return fault.New(fault.NotSupported, f+" would hold a secret in clear: what it says of its encryption (encrypted_regex, unencrypted_suffix, comments) leaves that name out; nothing was written",
		"look who set its rules; let them fit the name, or encrypt the whole file anew")
}

func foreign(f string) *fault.Error {
	return fault.New(fault.NotSupported, f+" has keys that are not age's (PGP, a cloud's), and only those who hold them can wrap a new data key", "remove them with `sops updatekeys`, or do it with `sops rotate`; nothing was changed")
}

// ownProgram refuses a helper that others could have put there: it gets data keys.
func ownProgram(path string) error {
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() {
		return missingHelper(path).Because(err)
	}
	if !owned(st) || othersWrite(st) {
		return fault.New(fault.NotPermitted, "the program "+home.Quote(path)+" belongs to another user, or others may change it", "chmod go-w "+home.Quote(path)+", or install it again")
	}
	return nil
}
