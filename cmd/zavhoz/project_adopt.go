package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newProjectAdopt(a *app) *cobra.Command {
	var table, database, key string
	var dry, finish, force, state bool
	c := &cobra.Command{
		Use: "adopt --database @FILE --key @FILE", Short: "Take the projects of the earlier system, and write changes to both until --finish", Args: cobra.NoArgs,
		Long: `Take the projects of the earlier system: its table in PostgreSQL (id, slug, config as json or jsonb, secrets as Fernet tokens) is read with its key, and every value is
sealed here. Look first, with --dry-run: it shows slugs, names and counts, and changes nothing anywhere. A project answers to its former id from then on.

While programs of the earlier system still read their table, what is changed here of an adopted project is written there as well, under its key, in the flow of the change; what they
write there is not taken over. When they are gone, --finish ends that, and the vault forgets the key. The database and the key are read from files or standard input, never from arguments.`,
		Example: `  zavhoz project adopt --database @database-url --key @fernet.key --dry-run
  zavhoz project adopt --database @database-url --key @fernet.key
  zavhoz project adopt --state
  zavhoz project adopt --finish`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			switch {
			case state:
				var s api.AdoptionState
				if err := cl.call(cmd.Context(), "GET", path("adoption"), nil, &s); err != nil {
					return err
				}
				return a.show(s, func(w io.Writer) { saidState(w, s) })
			case finish:
				where := path("adoption")
				if force {
					where += "?force=true"
				}
				if err := cl.call(cmd.Context(), "DELETE", where, nil, nil); err != nil {
					return err
				}
				return a.show(struct{}{}, func(w io.Writer) {
					fmt.Fprintln(w, "Nothing is written to the earlier system's table any more, and its key is forgotten.")
				})
			}
			in, err := a.secretsGiven([]string{"database=" + database, "key=" + key}, "")
			if err != nil {
				return err
			}
			defer in["database"].Wipe()
			defer in["key"].Wipe()
			if in["database"].IsZero() || in["key"].IsZero() {
				return fault.New(fault.SecretMissing, "the database's address or the key is empty", "give --database @FILE and --key @FILE")
			}
			body := map[string]any{"table": table, "dry_run": dry}
			quoted := asJSON(in)
			defer wipeBody(map[string]any{"secrets": quoted})
			body["database"], body["key"] = quoted["database"], quoted["key"]
			var out api.Adoption
			if err := cl.call(cmd.Context(), "POST", path("adoption"), body, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { saidAdopted(w, out) })
		},
	}
	c.Flags().StringVar(&database, "database", "", "the database's address, postgres://…, from @FILE or - (standard input)")
	c.Flags().StringVar(&key, "key", "", "the Fernet key (SECRETS_ENCRYPTION_KEY), from @FILE or -")
	c.Flags().StringVar(&table, "table", "", "the table, with its schema or without (default projects)")
	c.Flags().BoolVar(&dry, "dry-run", false, "look only: slugs, names and counts")
	c.Flags().BoolVar(&finish, "finish", false, "write to the earlier system's table no more, and forget its key")
	c.Flags().BoolVar(&force, "force", false, "with --finish: though that table is behind")
	c.Flags().BoolVar(&state, "state", false, "tell whether changes are written to both")
	return c
}

func saidState(w io.Writer, s api.AdoptionState) {
	if !s.Running {
		fmt.Fprintln(w, "No adoption is under way.")
		return
	}
	fmt.Fprintf(w, "Changes of adopted projects are written to %s as well, since %s; %s behind.\n", plain(s.Table), ago(s.Since), count(s.Late, "project"))
	if s.Theirs > 0 {
		fmt.Fprintf(w, "%s changed there later than here: there theirs counts, and here ours. Where theirs is the right one, give it here, too, before you finish.\n", count(s.Theirs, "secret"))
	}
}

func saidAdopted(w io.Writer, out api.Adoption) {
	var rows [][]string
	for _, p := range out.Projects {
		state := "was here"
		switch {
		case p.Problem != "":
			state = "not taken: " + p.Problem
		case p.New && out.DryRun:
			state = "to be taken"
		case p.New:
			state = "taken"
		case p.Joined && out.DryRun:
			state = "to be one with the project of that slug here"
		case p.Joined:
			state = "one with the project of that slug here"
		}
		rows = append(rows, []string{p.Slug, p.FormerID, strings.Join(p.Secrets, ", "), fmt.Sprint(p.Hints), dash(strings.Join(p.Unreadable, ", ")), dash(strings.Join(p.Refused, ", ")), state})
	}
	table(w, []string{"PROJECT", "FORMER ID", "SECRETS", "HINTS", "NOT OPENED", "REFUSED", ""}, rows)
	if slices.ContainsFunc(out.Projects, func(p api.AdoptedProject) bool { return p.Joined }) {
		fmt.Fprintln(w, "Of projects that are one the values here count, and each place gets the secrets that only the other has. Where they are two, give theirs another slug first.")
	}
	if out.DryRun {
		fmt.Fprintf(w, "Nothing was changed. config is %s.\n", out.Column)
	} else {
		fmt.Fprintln(w, "From now on changes are written to both; `zavhoz project adopt --finish` ends that.")
	}
}
