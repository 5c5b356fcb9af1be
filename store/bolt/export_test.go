package bolt

import "os"

// FailNextCommit makes the next commit of s fail.
func FailNextCommit(s *Store, err error) { s.failCommit.Store(&err) }

// File gives the handle under s.
func File(s *Store) *os.File { return s.file }

// CheckBytes is the check of Open over bytes.
func CheckBytes(mem []byte) error {
	_, err := checkBytes(mem, false)
	return err
}

// Check is the check of Open, run on a store that is open and idle.
func Check(s *Store) error {
	_, err := checkFile(s.file, false)
	return err
}
