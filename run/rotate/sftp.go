package rotate

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"

	"github.com/zavhoz/zavhoz/run/ssh"
)

// What is spoken of SFTP version 3 (draft-ietf-secsh-filexfer-02), and two extensions of OpenSSH.
const (
	sftpInit     = 1
	sftpVersion  = 2
	sftpOpen     = 3
	sftpClose    = 4
	sftpRead     = 5
	sftpWrite    = 6
	sftpFstat    = 8
	sftpFsetstat = 10
	sftpRemove   = 13
	sftpRealpath = 16
	sftpStatus   = 101
	sftpHandle   = 102
	sftpData     = 103
	sftpName     = 104
	sftpAttrs    = 105
	sftpExtended = 200

	statusOK, statusEOF, statusNoFile = 0, 1, 2

	openRead, openWrite, openCreate, openNew = 1, 2, 8, 0x20

	posixRename = "posix-rename@openssh.com" // takes the place of what is there, in one step
	fsync       = "fsync@openssh.com"

	sftpChunk  = 32 << 10
	sftpPacket = 256 << 10 // the longest reply that is taken, in bytes
)

var errSFTP = errors.New("rotate: the server speaks no sftp that is understood")

// status is a refusal of the server; its text is not read.
type status uint32

// Error says that there was one.
func (status) Error() string { return "rotate: the server refused a request of sftp" }

// sftpFile is a file by sftp, for keys that may do nothing else.
type sftpFile struct {
	c    io.ReadWriteCloser
	path string // real: links are followed
	id   uint32
	ext  map[string]bool
}

// openSFTP begins, and finds the file.
func openSFTP(ctx context.Context, pool *ssh.Pool, t ssh.Target, path string) (*sftpFile, error) {
	s, err := pool.Connect(ctx, t)
	if err != nil {
		return nil, err
	}
	c, err := s.Subsystem(ctx, "sftp")
	if err != nil {
		return nil, errNoShell
	}
	f := &sftpFile{c: c, ext: map[string]bool{}}
	if err := f.start(path); err != nil {
		f.close()
		return nil, errNoShell
	}
	return f, nil
}

func (f *sftpFile) close() { _ = f.c.Close() }

func (f *sftpFile) start(path string) error {
	if err := f.send(sftpInit, u32(3)); err != nil {
		return err
	}
	kind, body, err := f.receive()
	if err != nil || kind != sftpVersion || len(body) < 4 {
		return errors.Join(errSFTP, err)
	}
	for r := (reader{b: body[4:]}); len(r.b) > 0 && !r.bad; {
		name := r.text()
		_ = r.text()
		f.ext[name] = true
	}
	if !f.ext[posixRename] {
		return errSFTP // nothing replaces a file in one step
	}
	reply, err := f.ask(sftpRealpath, sftpName, text(path))
	if err != nil {
		return err
	}
	r := reader{b: reply}
	if r.number() != 1 {
		return errSFTP
	}
	f.path = r.text()
	if r.bad || f.path == "" {
		return errSFTP
	}
	return nil
}

func (f *sftpFile) read(context.Context) ([]byte, error) {
	b, err := f.contents(f.path)
	if errors.Is(err, status(statusNoFile)) {
		return nil, errAbsent
	}
	return b, err
}

func (f *sftpFile) contents(path string) ([]byte, error) {
	h, err := f.open(path, openRead)
	if err != nil {
		return nil, err
	}
	defer f.shut(h)
	var out []byte
	for len(out) <= maxAuthorized {
		reply, err := f.ask(sftpRead, sftpData, h, u64(uint64(len(out))), u32(sftpChunk))
		if errors.Is(err, status(statusEOF)) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		r := reader{b: reply}
		part := r.text()
		if r.bad || part == "" {
			return nil, errSFTP
		}
		out = append(out, part...)
	}
	return nil, errAbsent
}

// replace writes a file beside, looks at what became of it, and lets it take the place.
func (f *sftpFile) replace(ctx context.Context, was, fresh []byte) error {
	var r [8]byte
	_, _ = rand.Read(r[:])
	beside := f.path + ".zavhoz." + hex.EncodeToString(r[:])
	if err := f.write(beside, fresh); err != nil {
		_, _ = f.ask(sftpRemove, sftpStatus, text(beside))
		return errors.Join(errShort, err)
	}
	now, err := f.read(ctx)
	if err != nil || !bytes.Equal(now, was) {
		_, _ = f.ask(sftpRemove, sftpStatus, text(beside))
		return errors.Join(errMoved, err)
	}
	if _, err := f.ask(sftpExtended, sftpStatus, text(posixRename), text(beside), text(f.path)); err != nil {
		_, _ = f.ask(sftpRemove, sftpStatus, text(beside))
		return errors.Join(errShort, err)
	}
	return nil
}

// write makes a file with the mode of the one that it is to replace.
func (f *sftpFile) write(path string, b []byte) error {
	mode, err := f.mode()
	if err != nil {
		return err
	}
	h, err := f.open(path, openWrite|openCreate|openNew)
	if err != nil {
		return err
	}
	for at := 0; at < len(b) && err == nil; at += sftpChunk {
		_, err = f.ask(sftpWrite, sftpStatus, h, u64(uint64(at)), text(string(b[at:min(len(b), at+sftpChunk)])))
	}
	if err == nil {
		_, err = f.ask(sftpFsetstat, sftpStatus, h, u32(4), u32(mode))
	}
	if err == nil && f.ext[fsync] {
		_, err = f.ask(sftpExtended, sftpStatus, text(fsync), h)
	}
	if err = errors.Join(err, f.shut(h)); err != nil {
		return err
	}
	got, err := f.contents(path)
	if err == nil && !bytes.Equal(got, b) {
		err = errShort
	}
	return err
}

// mode gives the file's permissions.
func (f *sftpFile) mode() (uint32, error) {
	h, err := f.open(f.path, openRead)
	if err != nil {
		return 0, err
	}
	defer f.shut(h)
	reply, err := f.ask(sftpFstat, sftpAttrs, h)
	if err != nil {
		return 0, err
	}
	r := reader{b: reply}
	flags := r.number()
	if flags&1 != 0 {
		r.skip(8)
	}
	if flags&2 != 0 {
		r.skip(8)
	}
	if flags&4 == 0 {
		return 0o600, nil
	}
	m := r.number() & 0o777
	if r.bad {
		return 0, errSFTP
	}
	return m, nil
}

func (f *sftpFile) open(path string, flags uint32) ([]byte, error) {
	reply, err := f.ask(sftpOpen, sftpHandle, text(path), u32(flags), u32(4), u32(0o600))
	if err != nil {
		return nil, err
	}
	r := reader{b: reply}
	h := r.text()
	if r.bad {
		return nil, errSFTP
	}
	return text(h), nil
}

func (f *sftpFile) shut(h []byte) error {
	_, err := f.ask(sftpClose, sftpStatus, h)
	return err
}

// ask sends one request and waits for its reply of the kind that is wanted.
func (f *sftpFile) ask(kind, wants byte, parts ...[]byte) ([]byte, error) {
	f.id++
	if err := f.send(kind, append([][]byte{u32(f.id)}, parts...)...); err != nil {
		return nil, err
	}
	got, body, err := f.receive()
	if err != nil {
		return nil, err
	}
	r := reader{b: body}
	if r.number() != f.id || r.bad {
		return nil, errSFTP
	}
	if got == sftpStatus {
		code := r.number()
		if r.bad || code == statusOK && wants != sftpStatus {
			return nil, errSFTP
		}
		if code != statusOK {
			return nil, status(code)
		}
		return nil, nil
	}
	if got != wants {
		return nil, errSFTP
	}
	return r.b, nil
}

func (f *sftpFile) send(kind byte, parts ...[]byte) error {
	body := append([]byte{kind}, bytes.Join(parts, nil)...)
	_, err := f.c.Write(append(u32(uint32(len(body))), body...))
	return err
}

func (f *sftpFile) receive() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(f.c, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 1 || n > sftpPacket {
		return 0, nil, errSFTP
	}
	body = make([]byte, n-1)
	_, err = io.ReadFull(f.c, body)
	return head[4], body, err
}

func u32(n uint32) []byte  { return binary.BigEndian.AppendUint32(nil, n) }
func u64(n uint64) []byte  { return binary.BigEndian.AppendUint64(nil, n) }
func text(s string) []byte { return append(u32(uint32(len(s))), s...) }

// reader takes a reply apart; bad says that it was too short.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) skip(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) number() uint32 {
	b := r.skip(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func (r *reader) text() string { return string(r.skip(int(r.number()))) }
