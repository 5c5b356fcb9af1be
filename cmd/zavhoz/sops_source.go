package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/sync/sopshome"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/web/api"
)

const (
	firstLook    = 5 * time.Second // for files of secrets at the start; a helper that takes longer goes on while the daemon answers
	shownOfFiles = 20              // entries of a file that are not used
)

// secretFiles makes the files that the configuration names a home of resources, beside the vault.
func (d *daemon) secretFiles(opener *open.Opener) *sopshome.Home {
	var files []sops.FileSpec
	for _, f := range d.cfg.Vault.Files {
		files = append(files, sops.FileSpec{Path: f.Within(d.dir), Project: f.Project})
	}
	return sopshome.New(sopshome.Options{
		Vault: d.vault, Files: files, AddTo: d.cfg.Vault.AddTo, Codec: sops.New(sops.Options{}), Opener: opener, Locked: d.lock.gate.IsShut, Log: d.log,
		Identities: func(ctx context.Context) ([]age.Identity, error) {
			return d.sources(ctx, nil).Identities(ctx, d.ring.VaultID())
		},
	})
}

// firstFiles looks at the files before anybody asks, for as long as that may take.
func (d *daemon) firstFiles(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, firstLook)
	defer stop()
	d.files.Settle(ctx)
}

// fileStates tells how the files stand.
func (d *daemon) fileStates() (out []api.SecretFile) {
	for _, s := range d.files.States() {
		out = append(out, fileState(s))
	}
	return out
}

// secretFiles give the API the files that are homes of resources.
type secretFiles struct{ home *sopshome.Home }

// Accept takes the operator's word that a loss is meant.
func (f secretFiles) Accept(ctx context.Context, actor vault.Actor, name string, in api.AcceptLoss) (api.SecretFile, error) {
	s, err := f.home.AcceptLoss(ctx, actor, name, in.Absent)
	return fileState(s), err
}

func fileState(s sopshome.State) api.SecretFile {
	f := api.SecretFile{Name: s.Name, Path: s.Path, OK: s.Err == nil, LoadedAt: s.LoadedAt, Entries: s.Entries}
	if s.Err != nil {
		f.Code, f.Message, f.Next, f.Since = string(s.Err.Code), s.Err.Message, s.Err.Next, s.Since
	}
	if s.Lost.Absent > 0 {
		f.Lost = &api.FileLoss{Absent: s.Lost.Absent, Known: s.Lost.Known}
	}
	for i, p := range s.Problems {
		if i == shownOfFiles {
			f.More = len(s.Problems) - i
			break
		}
		f.Problems = append(f.Problems, api.FileProblem{Where: p.Where, Code: string(p.Err.Code), Message: p.Err.Message, Next: p.Err.Next})
	}
	return f
}

// fileLine says in a line how a file stands.
func fileLine(f api.SecretFile) string {
	line := f.Name + ": " + entries(f.Entries) + " in force"
	if n := len(f.Problems) + f.More; n > 0 {
		line += fmt.Sprintf(", %d not used", n)
	}
	if !f.OK { // its own words name the file again
		line += fmt.Sprintf("; as it is since %s it is not: %s", f.Since.UTC().Format(time.RFC3339), strings.ReplaceAll(f.Message, home.Quote(f.Path), "it"))
	}
	return line
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return strconv.Itoa(n) + " entries"
}

// printFiles prints how the files stand.
func printFiles(w io.Writer, files []api.SecretFile) {
	for _, f := range files {
		fmt.Fprintf(w, "secrets: %s%s\n", plain(fileLine(f)), bracketed(f.Code))
		printNext(w, f.Next)
		for _, p := range f.Problems {
			fmt.Fprintf(w, "  %s: %s%s\n", plain(p.Where), plain(p.Message), bracketed(p.Code))
			printNext(w, p.Next)
		}
		if f.More > 0 {
			fmt.Fprintf(w, "  … and %d more\n", f.More)
		}
	}
}

func bracketed(code string) string {
	if code == "" {
		return ""
	}
	return " [" + code + "]"
}

func printNext(w io.Writer, next string) {
	if next != "" {
		fmt.Fprintf(w, "    next: %s\n", plain(next))
	}
}

// examineSecrets tells which file of secrets is not in force, and what of it is not used.
func (f *findings) examineSecrets(files []api.SecretFile) {
	for _, s := range files {
		var err error
		if !s.OK {
			err = fault.New(fault.Code(s.Code), fileLine(s), s.Next)
		}
		if f.add("secrets", fileLine(s), err) && len(s.Problems) > 0 {
			c := &f.Checks[len(f.Checks)-1]
			first := s.Problems[0]
			c.Warning, c.Note = true, c.Note+"; "+first.Where+": "+first.Message
			c.Next = cmp.Or(first.Next, "correct the entry with `sops edit`; `zavhoz status` shows every one")
		}
	}
}
