package postgres

import "errors"

// errDefect stands for a panic of this program: its text could hold anything, so nobody hears it.
var errDefect = errors.New("postgres: a defect inside zavhoz")

// contain, deferred, keeps a defect from ending the daemon and every run in it: what was being worked on ends by end. A child, and a server, can send what
// finds a defect.
func contain(end func()) {
	if recover() != nil {
		end()
	}
}
