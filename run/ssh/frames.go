package ssh

import (
	"encoding/binary"
	"hash/maphash"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// binaries are programs whose far side speaks a protocol of its own over stdin and stdout. What it says is masked at the same length, and does not wait for
// more once the server has fallen silent: the other side would wait for ever. A program that is missing here is masked as text, and hangs where the end of a
// message looks like the beginning of a value.
var binaries = []string{
	"scp", "sftp-server", "internal-sftp", "rsync", "git", "git-upload-pack", "git-receive-pack", "git-upload-archive", "hg", "svnserve", "borg", "restic", "rclone", "unison",
	"mutagen-agent", "dial-stdio", "nc", "ncat", "netcat", "socat", "nbdkit", "qemu-nbd", "zfs", "btrfs", "tar", "dd", "cpio", "gzip", "zstd", "xz",
}

// speaksBinary tells whether a command line has one of binaries among its words, also behind sudo or sh -c.
func speaksBinary(line string) bool {
	if len(line) > 4<<10 {
		line = line[:4<<10]
	}
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n;&|()'\"", r) })
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(binaries, path.Base(w)) })
}

// messages gives each message a mask of its own, and tells whether any was changed.
type messages struct {
	mask    func(io.Writer) io.WriteCloser
	dst     io.Writer
	open    io.WriteCloser
	in, out maphash.Hash
	changed bool
}

func newMessages(mask func(io.Writer) io.WriteCloser, dst io.Writer) *messages {
	m := &messages{mask: mask, dst: dst}
	m.out.SetSeed(m.in.Seed())
	return m
}

// Write takes a piece of the current message.
func (m *messages) Write(p []byte) (int, error) {
	if m.open == nil {
		m.open = m.mask(io.MultiWriter(&m.out, m.dst))
	}
	_, _ = m.in.Write(p)
	return m.open.Write(p)
}

// end lets go what was held back.
func (m *messages) end() error {
	if m.open == nil {
		return nil
	}
	err := m.open.Close()
	m.open = nil
	m.changed = m.changed || m.in.Sum64() != m.out.Sum64()
	m.in.Reset()
	m.out.Reset()
	return err
}

// maxFrame is the longest packet of SFTP that is believed, in bytes; OpenSSH's own limit is 256 KiB.
const maxFrame = 1 << 20

// frames cuts a stream of SFTP where its packets end: the client waits for each, so none of its bytes may wait for the next. A value that two
// packets share is not seen.
type frames struct {
	m     *messages
	head  []byte // of a length, as far as it came
	left  int    // bytes of the packet
	stray bool   // this is no SFTP: a server whose shell prints something first
}

// Write takes what the server sent.
func (f *frames) Write(p []byte) (int, error) {
	begun := 0
	for i := 0; i < len(p) && !f.stray; {
		if f.left == 0 {
			n := min(4-len(f.head), len(p)-i)
			f.head = append(f.head, p[i:i+n]...)
			i += n
			if len(f.head) < 4 {
				break
			}
			size := binary.BigEndian.Uint32(f.head)
			f.head, f.left, f.stray = f.head[:0], int(size), size == 0 || size > maxFrame
			continue
		}
		n := min(f.left, len(p)-i)
		i += n
		if f.left -= n; f.left > 0 {
			break
		}
		if _, err := f.m.Write(p[begun:i]); err != nil {
			return begun, err
		}
		if err := f.m.end(); err != nil {
			return begun, err
		}
		begun = i
	}
	if begun < len(p) {
		if n, err := f.m.Write(p[begun:]); err != nil {
			return begun + n, err
		}
	}
	if f.stray {
		return len(p), f.m.end()
	}
	return len(p), nil
}

// silence is how long a server says nothing before what was held back of a binary protocol goes: longer than the gaps inside a message, short beside a
// round trip. What trickles more slowly passes in pieces; text has no such limit (threat-model.md 50).
const silence = 25 * time.Millisecond

// piecewise reads src to its end, writes it to dst, and ends the message whenever src has been silent. What dst refuses is dropped; failed is told once.
func piecewise(m *messages, dst io.Writer, src io.Reader, failed func(error)) {
	chunks, free := make(chan []byte), make(chan []byte, 2)
	free <- make([]byte, 32<<10)
	free <- make([]byte, 32<<10)
	go func() { // the range over chunks waits for it
		defer close(chunks)
		for {
			b := <-free
			n, err := src.Read(b)
			if n > 0 {
				chunks <- b[:n]
			}
			if err != nil {
				return
			}
			if n == 0 {
				free <- b
			}
		}
	}()
	defer func() {
		for b := range chunks {
			free <- b[:cap(b)]
		}
	}()
	defer guard(failed) // before the rest is read: whoever waits for input would not end
	timer := time.NewTimer(silence)
	defer timer.Stop()
	var err error
	check := func(e error) {
		if e != nil && err == nil {
			err = e
			failed(e)
		}
	}
	for {
		select {
		case b, ok := <-chunks:
			if !ok {
				check(m.end())
				return
			}
			if err == nil {
				_, e := dst.Write(b)
				check(e)
			}
			free <- b[:cap(b)]
			timer.Reset(silence)
		case <-timer.C:
			if err == nil {
				check(m.end())
			}
		}
	}
}
