package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// importPath is the one request that may be larger than maxBody.
const importPath = "/api/v1/import"

// maxImport bounds an import, in bytes.
const maxImport = 64 << 20

// Importer takes many resources at once (vault.Vault).
type Importer interface {
	Import(context.Context, vault.Actor, vault.Import) (vault.ImportReport, error)
}

// Exporter encrypts resources for recipients: what comes back is ciphertext, and on record durably.
type Exporter interface {
	Export(context.Context, vault.Actor, api.Export) (api.Exported, error)
}

func (s *Server) transferRoutes() {
	s.handle("POST "+importPath, http.StatusOK, s.importAll)
	s.guarded("POST /api/v1/export", http.StatusOK, audit.ResourceExport, s.export)
}

// limitOf is how large a request's body may be.
func limitOf(r *http.Request) int64 {
	if r.URL.Path == importPath {
		return maxImport
	}
	return maxBody
}

// importAll takes resources, all or none. What is new is what AddResource takes from anybody at this door; a value given anew may be a poisoned one, or an address that a
// kept key is then sent to, so replacing asks for presence.
func (s *Server) importAll(r *http.Request) (any, error) {
	if !s.importing.TryLock() {
		return nil, fault.New(fault.Busy, "an import is under way already", "try again when it is done")
	}
	defer s.importing.Unlock()
	body, err := whole(r)
	defer clear(body)
	if err != nil {
		return nil, err
	}
	var head api.Import
	line, rest, _ := bytes.Cut(body, []byte("\n"))
	if err := decodeLine(line, &head); err != nil {
		return nil, err
	}
	if vault.Conflict(head.OnConflict) == vault.ConflictReplace && !head.DryRun {
		if err := s.present(r, audit.VaultImport); err != nil {
			return nil, err
		}
	}
	im := vault.Import{OnConflict: vault.Conflict(head.OnConflict), DryRun: head.DryRun}
	if err := items(rest, &im); err != nil {
		im.Wipe()
		return nil, err
	}
	rep, err := s.o.Vault.Import(r.Context(), operator(r), im)
	if err != nil {
		return nil, err
	}
	out := api.Imported{Items: make([]api.ImportResult, len(rep.Items)), Projects: rep.Projects}
	for i, x := range rep.Items {
		out.Items[i] = api.ImportResult{Handle: x.Handle, Kind: x.Kind, Project: x.Project, Outcome: string(x.Outcome), Remarks: x.Remarks}
	}
	return out, nil
}

// whole reads a body whose length is known into one buffer of that length: where a buffer grows, copies of values stay behind.
func whole(r *http.Request) ([]byte, error) {
	switch {
	case r.ContentLength > maxImport:
		return nil, fault.New(fault.TooLarge, "an import is at most 64 MiB", "import in parts")
	case r.ContentLength < 0:
		return nil, fault.New(fault.InvalidArgument, "an import says its length", "send a Content-Length")
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return body, fault.New(fault.InvalidArgument, "the request could not be read", "send it again").Because(err)
	}
	return body, nil
}

func decodeLine(line []byte, into any) error {
	if !utf8.Valid(line) {
		return fault.New(fault.InvalidArgument, "the request is not UTF-8 text", "keep binary data as base64")
	}
	if err := mcp.Decode(line, into); err != nil {
		return fault.Of(err).WithNext("see the API's description")
	}
	return nil
}

// items decodes the lines, each strictly. What it has taken when it fails is in im.
func items(rest []byte, im *vault.Import) error {
	for len(rest) > 0 {
		var line []byte
		if line, rest, _ = bytes.Cut(rest, []byte("\n")); len(line) == 0 {
			continue
		}
		if len(im.Items) >= vault.MaxImport {
			return fault.Newf(fault.TooLarge, "an import brings at most %d resources", vault.MaxImport).WithNext("import in parts")
		}
		if len(line) > maxBody {
			return fault.New(fault.TooLarge, "a resource of the import is larger than 4 MiB", "")
		}
		var in api.ImportItem
		err := decodeLine(line, &in)
		im.Items = append(im.Items, vault.NewResource{Kind: in.Kind, Handle: in.Handle, Attrs: in.Attrs, Secrets: api.Secrets(in.Secrets), Labels: in.Labels, Project: in.Project, Why: in.Why})
		if err == nil && in.Handle == "" {
			err = fault.New(fault.InvalidArgument, "a resource of the import has no handle", "")
		}
		if err != nil {
			return err
		}
	}
	if len(im.Items) == 0 {
		return fault.New(fault.InvalidArgument, "the import has no resources", "")
	}
	return nil
}

// export gives ciphertext. The exporter has put it on record before.
func (s *Server) export(r *http.Request) (any, error) {
	var in api.Export
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if s.o.Export == nil {
		return nil, fault.New(fault.NotSupported, "nothing is exported here", "")
	}
	out, err := s.o.Export.Export(r.Context(), operator(r), in)
	if err != nil {
		return nil, err
	}
	return out, nil
}
