package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/web/api"
)

// importFlags are what import takes.
type importFlags struct {
	format, project, onConflict, prefix, key string
	identities, names                        []string
	dryRun                                   bool
}

func newImport(a *app) *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use: "import FILE…", Short: "Take secrets in from files: SOPS, .env, JSON, password managers", Args: cobra.MinimumNArgs(1),
		Long: `Take secrets in from files: SOPS files of every format, age files, .env, JSON, YAML, exports of 1Password (CSV, .1pux) and Bitwarden (CSV, JSON), and Fernet exports of
the earlier system with its key. What a value is shows by itself: bot tokens, keys of known services and database URLs become resources of their kind, all else is generic.
All of it is taken in one transaction, or nothing. A dry run shows what would become of each, and no value.

A SOPS or age file opens with --identity; without it, with the file that sops itself would take ($SOPS_AGE_KEY_FILE, or sops/age/keys.txt in the configuration folder), and with
this vault's own. Files are read and opened by this command and go to the daemon over the operator's socket; nothing is written to any disk but sealed. A FILE of - is
standard input. A file in clear stays where it is: shred it when the import is done.`,
		Example: `  zavhoz import secrets.sops.yaml --dry-run
  zavhoz import .env --project shop
  zavhoz import export.json --format bitwarden-json --map 'Old server=' --map 'GitHub (work)=github_work'
  zavhoz import projects.json --format fernet --key fernet.key --on-conflict skip`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.importFiles(cmd.Context(), args, f) },
	}
	c.Flags().StringVar(&f.format, "format", string(importer.Auto), "what the files are, where the content does not tell: "+formatNames())
	c.Flags().StringVar(&f.project, "project", "", "the project of what names none")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().StringVar(&f.onConflict, "on-conflict", string(vault.ConflictRefuse), "where a handle is taken: refuse (all of it), skip, or replace (as a new version)")
	c.Flags().StringVar(&f.prefix, "prefix", "", "what each handle begins with")
	c.Flags().StringArrayVar(&f.names, "map", nil, "NAME=HANDLE gives what the source calls NAME another handle; NAME= leaves it out")
	c.Flags().StringArrayVar(&f.identities, "identity", nil, "an identity file that opens a SOPS or age file; may be given again")
	c.Flags().StringVar(&f.key, "key", "", "the file of the Fernet key, or - for standard input; on a terminal it is asked for")
	completeFlag(c, "project", a.projectSlugs)
	completeWords(c, "format", importer.Formats())
	completeWords(c, "on-conflict", []vault.Conflict{vault.ConflictRefuse, vault.ConflictSkip, vault.ConflictReplace})
	return c
}

func formatNames() string {
	var names []string
	for _, f := range importer.Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// importedFiles is what import tells.
type importedFiles struct {
	DryRun   bool           `json:"dry_run"`
	Items    []importedItem `json:"items"`
	Projects []string       `json:"projects,omitempty"` // made for it
	InClear  []string       `json:"in_clear,omitempty"` // files that hold secrets in clear
}

// importedItem is one thing of the source.
type importedItem struct {
	Source  string       `json:"source,omitempty"` // its name there; "" where that looks like a secret
	Where   string       `json:"where"`
	Handle  string       `json:"handle,omitempty"`
	Kind    string       `json:"kind,omitempty"`
	Project string       `json:"project,omitempty"`
	Fields  []string     `json:"fields,omitempty"`
	Outcome string       `json:"outcome"` // added, replaced, unchanged, skipped, conflict, left_out, problem
	Notes   []string     `json:"notes,omitempty"`
	Problem *api.Problem `json:"problem,omitempty"`
}

// The outcomes that the daemon never sees.
const (
	outcomeLeftOut = "left_out"
	outcomeProblem = "problem"
)

func (a *app) importFiles(ctx context.Context, files []string, f importFlags) error {
	harden() // every value of the files passes through
	r := reading{a: a, f: f}
	defer r.keys.Wipe()
	naming := importer.Naming{Project: f.project, Prefix: f.prefix}
	var err error
	if naming.Map, err = keyValues("--map", f.names); err != nil {
		return err
	}
	if !slices.Contains(importer.Formats(), importer.Format(f.format)) {
		return fault.New(fault.InvalidArgument, "there is no such format", "one of "+formatNames())
	}
	items, clear, err := r.all(ctx, files)
	if err != nil {
		return err
	}
	drafts, err := importer.Plan(items, naming)
	if err != nil {
		return err
	}
	defer func() {
		for _, d := range drafts {
			d.Wipe()
		}
	}()
	out, bad := listDrafts(drafts)
	out.DryRun, out.InClear = f.dryRun, clear
	if bad > 0 {
		return a.cannotImport(out, bad)
	}
	if err := a.sendImport(ctx, drafts, f, &out); err != nil {
		return err
	}
	return a.showImport(out)
}

// listDrafts tells of each draft before the daemon has seen it, and how many have a problem.
func listDrafts(drafts []importer.Draft) (out importedFiles, bad int) {
	out.Items = make([]importedItem, len(drafts))
	for i, d := range drafts {
		x := importedItem{Source: d.Source, Where: d.Where, Handle: d.Handle, Kind: d.Kind, Project: d.Project, Fields: d.Fields(), Notes: d.Notes}
		switch {
		case d.Out != "":
			x = importedItem{Source: d.Source, Where: d.Where, Outcome: outcomeLeftOut, Notes: []string{d.Out}}
		case d.Problem != nil:
			x.Outcome, x.Fields = outcomeProblem, nil
			x.Problem = &api.Problem{Type: "about:blank", Status: d.Problem.Code.Of().HTTP, Code: string(d.Problem.Code), Detail: d.Problem.Message, Next: d.Problem.Next}
			bad++
		}
		out.Items[i] = x
	}
	return out, bad
}

// cannotImport shows what is wrong, on standard error where nothing else is asked for.
func (a *app) cannotImport(out importedFiles, bad int) error {
	if a.json || out.DryRun {
		if err := a.showImport(out); err != nil {
			return err
		}
	} else {
		for _, x := range out.Items {
			if x.Problem != nil {
				fmt.Fprintf(a.stderr, "%s: %s\n", plain(x.place()), x.Problem.Detail)
			}
		}
	}
	return fault.Newf(fault.InvalidArgument, "%s of the source cannot be taken in; nothing was changed", count(bad, "entry")).
		WithNext("correct the source, or leave an entry out with --map NAME=; --dry-run shows all")
}

func (x importedItem) place() string {
	if x.Source == "" || strings.HasSuffix(x.Where, x.Source) {
		return x.Where
	}
	return x.Where + " (" + x.Source + ")"
}

// showImport prints a table in a dry run, and else what there is to say.
func (a *app) showImport(out importedFiles) error {
	for _, file := range out.InClear {
		a.hint("%s holds secrets in clear: when they are in the vault, shred it (`shred -u`, or your system's way), and change those that others may have seen.", plain(home.Quote(file)))
	}
	return a.show(out, func(w io.Writer) {
		counts := map[string]int{}
		var rows [][]string
		for _, x := range out.Items {
			counts[x.Outcome]++
			notes := strings.Join(x.Notes, "; ")
			if x.Problem != nil {
				notes = x.Problem.Detail
			}
			rows = append(rows, []string{x.Handle, x.Kind, x.Project, strings.Join(x.Fields, ","), x.Outcome, x.place(), notes})
			if !out.DryRun && notes != "" {
				fmt.Fprintf(a.stderr, "%s: %s\n", plain(x.place()), plain(notes))
			}
		}
		if out.DryRun {
			table(w, []string{"HANDLE", "KIND", "PROJECT", "SEALED FIELDS", "WOULD BE", "FROM", "NOTES"}, rows)
		}
		var parts []string
		for _, o := range []string{"added", "replaced", "unchanged", "skipped", "conflict", outcomeLeftOut, outcomeProblem} {
			if n := counts[o]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(o, "_", " ")))
			}
		}
		head := "Imported"
		if out.DryRun {
			head = "Nothing was changed. It would be"
		}
		fmt.Fprintf(w, "%s: %s.\n", head, strings.Join(parts, ", "))
		if len(out.Projects) > 0 && !out.DryRun {
			fmt.Fprintf(w, "Made projects: %s. No agent's grants name them yet.\n", strings.Join(out.Projects, ", "))
		}
	})
}
