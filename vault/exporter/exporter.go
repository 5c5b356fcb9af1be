// Package exporter takes resources out of the vault for somebody else: as a SOPS file, or an age file, that recipients alone can open.
//
// Promise: no value leaves but encrypted to named recipients, and none before what leaves is on record durably, resource by resource. What cannot be written so that the
// reader gets it whole, or what the format would keep in clear, is refused and never left out in silence.
//
// Attacks stopped: an export in clear (there is none); a name by which SOPS leaves values in clear, `…_unencrypted` (threat-model.md 66); an export that leaves no trace
// (70): where the record cannot be written, nothing leaves.
//
// What it does not do: it asks nobody for presence: that is the door's. Policies, grants, versions and counts of uses stay behind: rules are this vault's own.
package exporter

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
)

// Format is a form of an export. Frozen: the command line's --format.
type Format string

// The formats.
const (
	SOPSYAML   Format = "sops-yaml"
	SOPSJSON   Format = "sops-json"
	SOPSDotenv Format = "sops-dotenv" // names and values of one project: what a program gets in its environment
	SOPSINI    Format = "sops-ini"    // likewise
	AgeJSON    Format = "age-json"    // an armored age file around the layout as JSON
)

// Formats lists them, the default first.
func Formats() []Format { return []Format{SOPSYAML, SOPSJSON, SOPSDotenv, SOPSINI, AgeJSON} }

// Limits of an export.
const (
	MaxHandles    = 10_000
	MaxRecipients = 64
)

// Vault is what an export needs of the vault (vault.Vault).
type Vault interface {
	Resource(ctx context.Context, ref string) (vault.Resource, error)
	Note(context.Context, audit.Event) error
	Noted(context.Context) error
}

// Opener opens sealed values (vault/open.Opener).
type Opener interface {
	Open(ref keyring.Ref, sealed string) (secret.Secret, error)
}

// Options wire an Exporter.
type Options struct {
	Vault      Vault
	Opener     Opener
	Codec      *sops.Codec
	Recipients func(texts []string) ([]age.Recipient, error) // refuses what is none (backup.Parse)
}

// Exporter exports. It may be used by many goroutines.
type Exporter struct{ o Options }

// New makes an Exporter.
func New(o Options) *Exporter { return &Exporter{o} }

// Request is what Export takes.
type Request struct {
	Refs   []string // handles or ids
	To     []string // age1… and ssh public keys
	Format Format   // "" for SOPSYAML
}

// Result is an export: ciphertext, and the handles in it.
type Result struct {
	File    []byte
	Handles []string
}

// Export writes resources for recipients. Errors: invalid_argument, unknown_resource, not_supported (no helper; a form that cannot hold it), name_taken, audit_unavailable.
func (x *Exporter) Export(ctx context.Context, actor vault.Actor, q Request) (Result, error) {
	if q.Format == "" {
		q.Format = SOPSYAML
	}
	recipients, err := x.check(q)
	if err != nil {
		return Result{}, err
	}
	entries, rs, err := x.entries(ctx, q.Refs)
	defer wipe(entries)
	if err != nil {
		return Result{}, err
	}
	file, err := x.write(ctx, q, entries, recipients)
	if err != nil {
		return Result{}, err
	}
	out := Result{File: file}
	for _, r := range rs {
		detail := map[string]string{"format": string(q.Format), "recipients": strconv.Itoa(len(q.To)), "version": strconv.FormatUint(r.Version, 10)}
		if err := x.o.Vault.Note(ctx, audit.Event{Actor: actor, Action: audit.ResourceExport, Outcome: audit.Allowed, Subject: r.ID, Handle: r.Handle, Detail: detail}); err != nil {
			return Result{}, err
		}
		out.Handles = append(out.Handles, r.Handle)
	}
	if err := x.o.Vault.Noted(ctx); err != nil {
		return Result{}, err
	}
	return out, nil
}

func (x *Exporter) check(q Request) ([]age.Recipient, error) {
	switch {
	case !slices.Contains(Formats(), q.Format):
		return nil, fault.New(fault.InvalidArgument, "there is no such format of exports", "the formats are sops-yaml, sops-json, sops-dotenv, sops-ini, age-json")
	case len(q.Refs) == 0 || len(q.Refs) > MaxHandles:
		return nil, fault.Newf(fault.InvalidArgument, "an export is of 1 to %d resources", MaxHandles)
	case len(q.To) == 0 || len(q.To) > MaxRecipients:
		return nil, fault.Newf(fault.InvalidArgument, "an export is for 1 to %d recipients", MaxRecipients).WithNext("name one with --to: age1…, or a line of an ssh .pub file")
	}
	return x.o.Recipients(q.To)
}

// entries opens the resources. What it gives is to be wiped, also with an error.
func (x *Exporter) entries(ctx context.Context, refs []string) (out []sops.Entry, rs []vault.Resource, err error) {
	seen := map[string]bool{}
	for _, ref := range refs {
		r, err := x.o.Vault.Resource(ctx, ref)
		if err != nil {
			return out, rs, err
		}
		if seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		k, err := kind.Get(r.Kind)
		if err != nil {
			return out, rs, err
		}
		e := sops.Entry{Kind: r.Kind, Handle: r.Handle, Project: r.Project, Attrs: r.Attrs, Labels: r.Labels, Secrets: map[string]secret.Secret{}}
		out, rs = append(out, e), append(rs, r)
		for field, s := range r.Sealed {
			if f, _ := k.Lookup(field); f.Derived {
				continue
			}
			if e.Secrets[field], err = x.o.Opener.Open(r.FieldRef(field), s.Value); err != nil {
				return out, rs, err
			}
		}
	}
	return out, rs, nil
}

func wipe(entries []sops.Entry) {
	for _, e := range entries {
		for _, s := range e.Secrets {
			s.Wipe()
		}
	}
}

// write encrypts.
func (x *Exporter) write(ctx context.Context, q Request, entries []sops.Entry, recipients []age.Recipient) ([]byte, error) {
	switch q.Format {
	case SOPSDotenv, SOPSINI:
		secrets, err := flat(entries)
		if err != nil {
			return nil, err
		}
		format := string(q.Format[len("sops-"):])
		tree, err := sops.BuildFlat(format, secrets)
		if err != nil {
			return nil, err
		}
		return x.o.Codec.Create(ctx, sops.NewFile{Format: format, Tree: tree, Recipients: q.To})
	}
	tree, err := sops.BuildLayout(entries)
	if err != nil {
		return nil, err
	}
	if q.Format == AgeJSON {
		return ageJSON(tree.Documents[0], recipients)
	}
	return x.o.Codec.Create(ctx, sops.NewFile{Format: string(q.Format[len("sops-"):]), Tree: tree, Recipients: q.To})
}

// flat gives the variables of resources of one project, the public ones too: what a program gets. What no variable holds would be lost.
func flat(entries []sops.Entry) (out []sops.ProjectSecret, err error) {
	for _, e := range entries {
		if e.Project != entries[0].Project {
			return nil, fault.New(fault.NotSupported, "a file of names and values is for one project, and these resources are of several", "export each project by itself, or as sops-yaml")
		}
		k, err := kind.Get(e.Kind)
		if err != nil {
			return nil, err
		}
		filled := map[string]bool{}
		for _, v := range k.EnvVars(e.Attrs) {
			if s, ok := e.Secrets[v.Field]; ok && v.Minted == "" {
				filled[v.Field] = true
				out = append(out, sops.ProjectSecret{Project: e.Project, Name: v.Name, Value: s})
			} else if v.Field == "" {
				out = append(out, sops.ProjectSecret{Project: e.Project, Name: v.Name, Value: secret.FromString(v.Value)})
			}
		}
		for _, field := range slices.Sorted(maps.Keys(e.Secrets)) {
			if !filled[field] {
				return nil, fault.New(fault.NotSupported, "no variable holds the field "+field+" of "+e.Handle+", so a file of names and values would lose it", "export it as sops-yaml")
			}
		}
	}
	return out, nil
}
