package ssh

import "errors"

// errDefect stands for a panic of this program: its text could hold anything, so nobody hears it.
var errDefect = errors.New("ssh: a defect inside zavhoz")

// contain, deferred, keeps a defect from ending the daemon and every run in it: what was being worked on ends by end. Whoever speaks to a server, or is
// one, can send what finds a defect.
func contain(end func()) {
	if recover() != nil {
		end()
	}
}

// recorder makes a record that fails of one that panics: what cannot be recorded does not happen.
func recorder(record func(Event) error) func(Event) error {
	return func(e Event) (err error) {
		defer contain(func() { err = errDefect })
		return record(e)
	}
}
