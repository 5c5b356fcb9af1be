package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Backups writes the vault as one encrypted file. What is in it is as sealed as it is in the vault.
type Backups interface {
	// Recipients gives those of the vault's slots that a backup is for by itself, and who is left out.
	Recipients(ctx context.Context) (to, left []string, err error)
	Write(ctx context.Context, w io.Writer, to []string) (backup.Report, error)
}

func (s *Server) backupRoutes() {
	s.raw("POST /api/v1/backup", s.backup)
}

// backup streams a backup. One for the vault's own recipients gives nobody anything new, so a timer may take it; another recipient will read every name, policy
// and record of the vault, and what its slots open: that is for a person.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	to, left, err := s.backupFor(r)
	if err == nil && !s.backing.TryLock() {
		err = fault.New(fault.Busy, "a backup is being taken already", "try again when it is done")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer s.backing.Unlock()
	if err := s.o.Vault.Note(r.Context(), backupEvent(r, audit.Allowed, len(to), nil)); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", api.BackupReport+", "+api.BackupProblem)
	rep, err := s.o.Backup.Write(r.Context(), w, to)
	rep.Recipients, rep.LeftOut = to, left
	if err != nil {
		s.backupFailed(w, r, len(to), err)
		return
	}
	b, err := json.Marshal(rep)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(api.BackupReport, string(b))
}

// backupFor reads the request and decides whom the backup is for.
func (s *Server) backupFor(r *http.Request) (to, left []string, err error) {
	var in api.Backup
	if err := read(r, &in); err != nil {
		return nil, nil, err
	}
	own, left, err := s.o.Backup.Recipients(r.Context())
	switch {
	case err != nil:
		return nil, nil, err
	case len(in.To) == 0 && len(own) == 0:
		return nil, nil, fault.New(fault.InvalidArgument, "the vault is opened by passphrases or plugins alone, which nothing can be encrypted to without their owner", "name a recipient with --to")
	case len(in.To) == 0:
		return own, left, nil
	}
	if _, err := backup.Parse(in.To); err != nil {
		return nil, nil, err
	}
	known := map[string]bool{}
	for _, t := range own {
		known[t] = true
	}
	for _, t := range in.To {
		if !known[t] {
			return in.To, nil, s.present(r, audit.VaultBackup)
		}
	}
	return in.To, nil, nil
}

// backupFailed tells of a failure after the body has begun. What was sent is no backup: its last part is missing.
func (s *Server) backupFailed(w http.ResponseWriter, r *http.Request, recipients int, err error) {
	f := fault.Of(err)
	s.o.Log.Error("backup failed", "code", string(f.Code), "cause", fault.Cause(err))
	_ = s.o.Vault.Note(context.WithoutCancel(r.Context()), backupEvent(r, audit.Failed, recipients, f))
	b, err := json.Marshal(api.Problem{Type: "about:blank", Status: f.Code.Of().HTTP, Code: string(f.Code), Detail: f.Message, Next: f.Next})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(api.BackupProblem, string(b))
}

func backupEvent(r *http.Request, o audit.Outcome, recipients int, f *fault.Error) audit.Event {
	e := audit.Event{Actor: operator(r), Action: audit.VaultBackup, Outcome: o, Detail: map[string]string{"recipients": utoa(recipients)}}
	if f != nil {
		e.Code = string(f.Code)
	}
	return e
}
