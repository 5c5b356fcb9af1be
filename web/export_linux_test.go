package web

// HasSeat tells whether a peer sits anywhere.
func HasSeat(p Peer) bool { return seatOf(p) != seat{} }

// ParseStat reads a line of /proc/PID/stat.
func ParseStat(b []byte) (parent, session, tty int, start uint64, ok bool) {
	s, ok := parseStat(b)
	return s.parent, s.session, s.tty, s.start, ok
}
