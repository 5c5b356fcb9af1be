package ssh

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

// countable are the ciphers that a bastion offers: those that leave the length of each packet in the clear, for metered to count by. Between a run and
// its bastion nobody listens.
var countable = []string{xssh.CipherAES128GCM, xssh.CipherAES256GCM}

// smallPacket is the length in bytes under which a packet costs more memory than it carries.
const smallPacket = 512

var errPackets = errors.New("ssh: too many small packets wait unread")

// metered bounds what a client makes the ssh library keep for it. The library holds up to 2 MiB of a channel that nobody reads: in packets of one byte
// that is hundreds of megabytes (threat-model.md 67). So while any of its channels is not read, as the server does not take what it sent, the
// small packets of a connection are counted, and too many end it.
type metered struct {
	net.Conn
	limit int

	// Of the goroutine that reads:
	line   []byte // of the version exchange, until it is over
	begun  bool
	head   []byte // length, and up to the first NEWKEYS padding and type, of the current packet
	left   int    // bytes of the packet still to come
	sealed bool   // behind the first NEWKEYS: a tag follows each packet

	mu      sync.Mutex
	stalled int // channels that are not read
	parked  int // small packets since the first of them
}

func newMetered(conn net.Conn, limit int) *metered { return &metered{Conn: conn, limit: limit} }

// Read counts the packets of what it reads.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if small := m.count(p[:n]); small > 0 && !m.park(small) {
		_ = m.Close()
		return 0, errPackets
	}
	return n, err
}

// count gives the number of small packets that end in p.
func (m *metered) count(p []byte) (small int) {
	for len(p) > 0 {
		switch {
		case !m.begun:
			p = m.version(p)
		case m.left > 0:
			n := min(m.left, len(p))
			m.left -= n
			p = p[n:]
		default:
			var length int
			if length, p = m.packet(p); length > 0 && length < smallPacket {
				small++
			}
		}
	}
	return small
}

// version skips what comes before the packets, as the library does: lines, up to one that says SSH-.
func (m *metered) version(p []byte) []byte {
	for i, c := range p {
		if c != '\n' {
			if len(m.line) < 4 {
				m.line = append(m.line, c)
			}
			continue
		}
		m.begun = string(m.line) == "SSH-"
		m.line = m.line[:0]
		return p[i+1:]
	}
	return nil
}

// packet reads the head of a packet; its length is known, and given, once the head is whole.
func (m *metered) packet(p []byte) (length int, rest []byte) {
	want := 4
	if !m.sealed {
		want = 6 // length, padding, type
	}
	n := min(want-len(m.head), len(p))
	m.head, p = append(m.head, p[:n]...), p[n:]
	if len(m.head) < want {
		return 0, nil
	}
	size := int(min(binary.BigEndian.Uint32(m.head), 1<<20)) // the library refuses more than 256 KiB
	m.left = max(0, size-(want-4))
	if m.sealed {
		m.left += 16
	} else {
		m.sealed = m.head[5] == 21
	}
	m.head = m.head[:0]
	return max(size, 1), p
}

func (m *metered) park(small int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stalled > 0 {
		m.parked += small
	}
	return m.parked <= m.limit
}

// stall tells that a channel is not read for now; the function that it gives, that it is again.
func (m *metered) stall() (resume func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stalled++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.stalled--; m.stalled == 0 {
			m.parked = 0
		}
	}
}

// took tells that n bytes of a channel were read: what one channel takes is not parked, even while another stalls.
func (m *metered) took(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.parked > 0 && n < smallPacket {
		m.parked--
	}
}
