package bolt

import (
	"reflect"
	"sync"
	"unsafe"

	"go.etcd.io/bbolt"
)

// beginLocks are the locks that bbolt holds while it reads the meta pages at the begin of a transaction. A fault there (the file was
// cut between our probe and its read; seen under load) unwinds past bbolt with them held, and every later call would hang. bbolt has
// no way to give them back, so they are reached by name; TestBeginLocks fails if a new version of bbolt names them otherwise.
type beginLocks struct {
	meta  *sync.Mutex   // begin of a read transaction
	mmap  *sync.RWMutex // read-locked by a read transaction
	write *sync.Mutex   // held by the write transaction
}

// locksOf finds the locks; ok is false for a bbolt that is built otherwise.
func locksOf(db *bbolt.DB) (l beginLocks, ok bool) {
	v := reflect.ValueOf(db).Elem()
	field := func(name string, want reflect.Type) unsafe.Pointer {
		f := v.FieldByName(name)
		if !f.IsValid() || f.Type() != want {
			return nil
		}
		return unsafe.Pointer(f.UnsafeAddr())
	}
	l.meta = (*sync.Mutex)(field("metalock", reflect.TypeFor[sync.Mutex]()))
	l.mmap = (*sync.RWMutex)(field("mmaplock", reflect.TypeFor[sync.RWMutex]()))
	l.write = (*sync.Mutex)(field("rwlock", reflect.TypeFor[sync.Mutex]()))
	return l, l.meta != nil && l.mmap != nil && l.write != nil
}

// release gives back what a begin that panicked holds. For a write transaction bbolt gives the meta lock back itself.
func (l beginLocks) release(writable bool) {
	if writable {
		l.write.Unlock()
		return
	}
	l.mmap.RUnlock()
	l.meta.Unlock()
}
