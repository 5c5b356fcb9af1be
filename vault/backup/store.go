package backup

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/zavhoz/zavhoz/store"
)

var _ store.Store = (*File)(nil)

// View runs fn on the backup.
func (f *File) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(moment{f})
}

// Update gives store.ErrReadOnly.
func (f *File) Update(context.Context, func(store.Tx) error) error { return store.ErrReadOnly }

// Watch gives a channel on which nothing comes: a backup does not change.
func (f *File) Watch(ctx context.Context) <-chan store.Change {
	c := make(chan store.Change)
	context.AfterFunc(ctx, func() { close(c) })
	return c
}

// Close does nothing: what the backup was read from is the caller's.
func (f *File) Close() error { return nil }

// moment is the one moment of a backup. Get and Scan read the collection from its beginning; nothing is kept.
type moment struct{ f *File }

// Get looks for one record.
func (m moment) Get(c store.Collection, key string) (found []byte, err error) {
	err = m.Scan(c, "", key, func(k string, v []byte) (bool, error) {
		if k == key {
			found = append([]byte{}, v...)
		}
		return false, nil
	})
	if err == nil && found == nil {
		err = store.ErrNotFound
	}
	return found, err
}

// Scan goes through a collection in order of keys. Errors: store.ErrCorrupt where the file changed since it was opened.
func (m moment) Scan(c store.Collection, prefix, from string, fn func(key string, value []byte) (bool, error)) error {
	at, ok := m.f.at[c]
	if !ok {
		return nil
	}
	d := newDecoder(io.NewSectionReader(m.f.plain, at, m.f.size-at), at, nil)
	for {
		kind, payload, err := d.next()
		if err != nil {
			return errors.Join(store.ErrCorrupt, err)
		}
		if kind != frameRow {
			return nil
		}
		key, value, err := row(payload)
		if err != nil {
			return errors.Join(store.ErrCorrupt, err)
		}
		if key > prefix && !strings.HasPrefix(key, prefix) {
			return nil
		}
		if key < from || !strings.HasPrefix(key, prefix) {
			continue
		}
		more, err := fn(key, append([]byte{}, value...)) // the caller may keep it
		if err != nil || !more {
			return err
		}
	}
}

// errDown says that a backup is read forwards.
var errDown = errors.New("backup: it is read forwards only")

// ScanDown is not possible.
func (m moment) ScanDown(store.Collection, string, string, func(string, []byte) (bool, error)) error {
	return errDown
}

// Put gives store.ErrReadOnly.
func (m moment) Put(store.Collection, string, []byte) error { return store.ErrReadOnly }

// Delete gives store.ErrReadOnly.
func (m moment) Delete(store.Collection, string) error { return store.ErrReadOnly }
