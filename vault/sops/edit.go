package sops

import (
	"context"
	"crypto/sha256"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// Edit changes a file of the source in place and takes the result in. The file on the disk is the old one or the new one at every moment, whatever fails;
// an error after the new one took its place says so. It neither keeps nor wipes changes.
// Errors: version_conflict (somebody else wrote meanwhile), not_permitted, and those of Codec.Edit.
func (s *Source) Edit(ctx context.Context, path string, changes []wire.Change) error {
	for _, l := range s.files {
		if l.spec.Path != path {
			continue
		}
		ids, err := s.o.Identities(ctx)
		if err != nil {
			return err
		}
		var was, is []byte
		err = rewrite(ctx, path, func(before []byte) (after []byte, err error) {
			if !s.inForce(l, before) {
				return nil, anotherFile(path)
			}
			was = before
			is, err = s.o.Codec.Edit(ctx, path, before, ids, changes)
			return is, err
		}, s.o.At)
		if err == nil {
			l.remember(s.o.Now(), was, is, changes)
		}
		if s.refresh(ctx, l, true) && s.o.Changed != nil {
			s.o.Changed()
		}
		return err
	}
	return notOurs()
}

// Rehearse tells whether Edit would go through now: all that it does but the writing. It neither keeps nor wipes changes. Errors: those of Edit.
func (s *Source) Rehearse(ctx context.Context, path string, changes []wire.Change) error {
	for _, l := range s.files {
		if l.spec.Path != path {
			continue
		}
		ids, err := s.o.Identities(ctx)
		if err != nil {
			return err
		}
		return rehearse(ctx, path, func(before []byte) error {
			if !s.inForce(l, before) {
				return anotherFile(path)
			}
			_, err := s.o.Codec.Edit(ctx, path, before, ids, changes)
			return err
		})
	}
	return notOurs()
}

func anotherFile(path string) error {
	return fault.New(fault.VersionConflict, home.Quote(path)+" is another than the one that was read; nothing was written", "try again")
}

func notOurs() error { return fault.New(fault.InvalidArgument, "the file is none of this source", "") }

// inForce tells whether content is what the set in force was read from: a change that was decided on another one would undo what it says.
func (s *Source) inForce(l *live, content []byte) bool {
	l.busy.Lock()
	defer l.busy.Unlock()
	return l.loaded && sha256.Sum256(content) == l.sum
}
