package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/web/api"
)

// maxImportBody is what the daemon takes, in bytes.
const maxImportBody = 64 << 20

// sendImport gives the drafts to the daemon, in one request, and puts its answer into out.
func (a *app) sendImport(ctx context.Context, drafts []importer.Draft, f importFlags, out *importedFiles) error {
	body, at, err := importBody(drafts, f)
	defer clear(body[:cap(body)])
	if err != nil {
		return err
	}
	if len(at) == 0 {
		return nil // all of it is left out
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	done := a.working("Importing " + count(len(at), "resource"))
	defer done()
	var got api.Imported
	err = cl.once(ctx, "POST", path("import"), body, &got)
	if fault.CodeOf(err) == fault.PresenceRequired && cl.prove != nil {
		done()
		switch perr := cl.prove(ctx, cl); {
		case errors.Is(perr, errNobody):
			return err
		case perr != nil:
			return perr
		}
		err = cl.once(ctx, "POST", path("import"), body, &got)
	}
	if err != nil {
		return ofImport(err, drafts)
	}
	if len(got.Items) != len(at) {
		return broken(nil)
	}
	conflicts := 0
	for i, x := range got.Items {
		o := &out.Items[at[i]]
		o.Outcome = x.Outcome
		if x.Outcome == string(vault.ImportConflict) {
			conflicts++
			o.Notes = append(o.Notes, "the handle is taken")
		}
	}
	out.Projects = got.Projects
	if conflicts > 0 {
		if err := a.showImport(*out); err != nil {
			return err
		}
		return fault.Newf(fault.HandleTaken, "%s taken: the import would be refused as a whole", count(conflicts, "handle")).
			WithNext("give --on-conflict skip or replace, --prefix, or --map NAME=HANDLE")
	}
	return nil
}

// ofImport says which entry of the source a refusal is about.
func ofImport(err error, drafts []importer.Draft) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	handle, _ := f.Details["handle"].(string)
	for _, d := range drafts {
		if d.Handle == handle && handle != "" {
			g := *f
			g.Message = d.Where + ": " + f.Message + "; nothing was imported"
			if f.Code == fault.HandleTaken {
				return (&g).WithNext("give --on-conflict skip or replace, --prefix, or --map NAME=HANDLE")
			}
			return &g
		}
	}
	return err
}

// importBody writes the request's lines; at says of which draft each is. The caller wipes it.
func importBody(drafts []importer.Draft, f importFlags) (body []byte, at []int, err error) {
	size := 1 << 10
	for _, d := range drafts {
		for field, s := range d.Secrets {
			size += 6*s.Len() + 16 + len(field) // as long as it can get: what grows leaves copies behind
		}
		size += 4 << 10
		for name, v := range d.Attrs {
			size += 12*len(name) + 12*len(v)
		}
	}
	body = make([]byte, 0, min(size, maxImportBody))
	head, err := json.Marshal(api.Import{OnConflict: f.onConflict, DryRun: f.dryRun})
	if err != nil {
		return body, nil, err
	}
	body = append(append(body, head...), '\n')
	for i, d := range drafts {
		if d.Out != "" || d.Problem != nil {
			continue
		}
		line, err := importLine(d)
		if err != nil {
			return body, nil, err
		}
		if len(body)+len(line)+1 > maxImportBody {
			clear(line)
			return body, nil, fault.New(fault.TooLarge, "what is imported is larger than 64 MiB", "import it in parts")
		}
		body = append(append(body, line...), '\n')
		clear(line)
		at = append(at, i)
	}
	return body, at, nil
}

func importLine(d importer.Draft) ([]byte, error) {
	secrets := map[string]json.RawMessage{}
	for field, s := range d.Secrets {
		secrets[field] = api.Quote(s)
	}
	line, err := json.Marshal(map[string]any{"kind": d.Kind, "handle": d.Handle, "project": d.Project, "attrs": d.Attrs, "labels": d.Labels, "secrets": secrets, "why": "imported"})
	for _, q := range secrets {
		clear(q)
	}
	return line, err
}
