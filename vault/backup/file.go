package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// File is a backup that was read once from its beginning to its end: whole, and with the counts and digests that its manifest names. It is a store that cannot be
// written. Whether a vault wrote it is another question: Authenticate.
type File struct {
	Head     Head
	Config   []byte // config.yaml; nil: none
	Manifest Manifest

	plain    io.ReaderAt
	size     int64 // of plain
	at       map[store.Collection]int64
	manifest []byte // as it stands there
	mac      []byte
}

// Open reads a whole backup of size bytes. Errors: fault wrong_identity (none given opens it), vault_corrupt (it is no backup, or damaged), vault_format (it is of
// another version).
func Open(ctx context.Context, r io.ReaderAt, size int64, ids []age.Identity) (*File, error) {
	if len(ids) == 0 {
		return nil, wrongIdentity(nil)
	}
	plain, n, err := age.DecryptReaderAt(r, size, ids...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, wrongIdentity(err)
	}
	if err != nil {
		return nil, damaged("it is no age file, or its end is missing", err)
	}
	f := &File{plain: plain, size: n, at: map[store.Collection]int64{}}
	if err := f.read(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

func wrongIdentity(err error) error {
	return fault.New(fault.WrongIdentity, "no identity given opens this backup", "give the identity file of one of its recipients: the vault's own, or the recovery identity").Because(err)
}

// read goes through the whole backup and keeps where each collection begins.
func (f *File) read(ctx context.Context) error {
	d := newDecoder(io.NewSectionReader(f.plain, 0, f.size), 0, sha256.New())
	format, err := d.magic()
	if err != nil {
		return damaged("it does not begin as a backup does", err)
	}
	if format != Format {
		return newer(int(format))
	}
	kind, payload, err := d.next()
	if err != nil || kind != frameHead || strictly(payload, &f.Head) != nil {
		return damaged("its head is not readable", err)
	}
	if f.Head.Format != Format {
		return newer(f.Head.Format)
	}
	have, err := f.collections(ctx, d)
	if err != nil {
		return err
	}
	if _, err := d.r.ReadByte(); !errors.Is(err, io.EOF) {
		return damaged("something follows its end", err)
	}
	if f.Manifest.Format != Format {
		return newer(f.Manifest.Format)
	}
	if !slices.Equal(f.Manifest.Collections, have) || f.Manifest.SHA256 != hex.EncodeToString(d.h.Sum(nil)) {
		return damaged("its counts or digests are not those of its records", nil)
	}
	return nil
}

func newer(format int) error {
	return fault.Newf(fault.VaultFormat, "the backup has format %d, this zavhoz knows %d", format, Format).WithNext("use the version of zavhoz that wrote it, or a newer one")
}

// collections reads up to and with the manifest, and gives the accounts of what was there.
func (f *File) collections(ctx context.Context, d *decoder) (have []Collection, err error) {
	var open *Account
	last, first := "", true
	shut := func() {
		if open != nil {
			have = append(have, open.Close())
		}
	}
	for ; ; first = false {
		kind, payload, err := d.next()
		switch {
		case err != nil:
			return nil, damaged("it ends early, or a record of it is not readable", err)
		case kind == frameConfig && first:
			f.Config = bytes.Clone(payload)
		case kind == frameCollection:
			shut()
			name := store.Collection(payload)
			if !f.inOrder(name, have) {
				return nil, damaged("a collection is out of its place", errOrder)
			}
			open, last, f.at[name] = NewAccount(name), "", d.off
		case kind == frameRow && open != nil:
			key, value, rerr := row(payload)
			if rerr != nil || len(key) > store.MaxKey || key <= last {
				return nil, damaged("a record is out of its place", rerr)
			}
			open.Add(key, value)
			last = key
		case kind == frameManifest && open != nil && len(payload) > macSize:
			shut()
			f.mac, f.manifest = bytes.Clone(payload[:macSize]), bytes.Clone(payload[macSize:])
			if err := strictly(f.manifest, &f.Manifest); err != nil {
				return nil, damaged("its manifest is not readable", err)
			}
			return have, nil
		default:
			return nil, damaged("a part of it is out of its place", errOrder)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// inOrder tells whether a collection may begin here: the keyring is the first, and the names after it ascend.
func (f *File) inOrder(name store.Collection, before []Collection) bool {
	switch n := len(before); {
	case !validName(name) || n >= maxCollections:
		return false
	case n == 0:
		return name == keyring.Collection
	case n == 1:
		return name != keyring.Collection
	default:
		return name > before[n-1].Name && name != keyring.Collection
	}
}

// validName tells whether a store takes the name: ^[a-z][a-z0-9_]{0,31}$.
func validName(c store.Collection) bool {
	for i, b := range []byte(c) {
		letter := b >= 'a' && b <= 'z'
		if !letter && (i == 0 || b != '_' && (b < '0' || b > '9')) {
			return false
		}
	}
	return c != "" && len(c) <= maxName
}

// Authenticate tells that a vault with these keys wrote the manifest, and so every record here. header is the backup's own (vault.Header). Errors: fault
// vault_corrupt, vault_locked.
func (f *File) Authenticate(k *keyring.Keyring, header []byte) error {
	want, err := k.HeaderMAC(header, macLabel, f.manifest)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(want[:], f.mac) != 1 || f.Head.VaultID != k.VaultID() {
		return damaged("its authentication fails: no vault of these keys wrote it", nil)
	}
	return nil
}
