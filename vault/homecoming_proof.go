package vault

import (
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// unproven holds a change of a file's entry, all of it, where a part that decides where values go, or who gets them, could have been written by somebody without
// the file's key: a real value would follow to another host. It does not matter whether a value stays: one that only looks harmless now is followed by the next.
// fresh are the values that differ. Fault approval_required: what is in force stays until a person says the same with `zavhoz resource edit`.
func unproven(r Resource, e HomeEntry, fresh map[string]secret.Secret) error {
	if e.Proven == nil {
		return holdEntry(e.Handle, []string{"all of it"})
	}
	k, err := kind.Get(e.Kind)
	if err != nil {
		return err
	}
	var names []string
	differs := func(say, name string) {
		if !e.Proven(name) && !slices.Contains(names, say) {
			names = append(names, say)
		}
	}
	for name := range union(r.Attrs, e.Attrs) {
		if f, ok := k.Lookup(name); (!ok || f.Steers) && r.Attrs[name] != e.Attrs[name] {
			differs(name, name)
		}
	}
	for name := range union(r.Sealed, e.Secrets) {
		f, _ := k.Lookup(name)
		_, new := fresh[name]
		if _, stays := e.Secrets[name]; (new || !stays) && !f.Derived { // what is derived follows the value that it is derived from
			differs(name, name)
		}
	}
	for name := range union(r.Labels, e.Labels) {
		was, had := r.Labels[name]
		if is, has := e.Labels[name]; had != has || was != is {
			differs("labels", "labels."+name)
		}
	}
	if r.Project != e.Project {
		differs("project", "project")
	}
	if len(names) > 0 {
		slices.Sort(names)
		return holdEntry(e.Handle, names)
	}
	return nil
}

func union[A, B any](a map[string]A, b map[string]B) map[string]bool {
	all := map[string]bool{}
	for name := range maps.Keys(a) {
		all[name] = true
	}
	for name := range maps.Keys(b) {
		all[name] = true
	}
	return all
}

func holdEntry(handle string, names []string) error {
	return fault.New(fault.ApprovalRequired, "the change of "+handle+" in its file is unconfirmed: anybody who can write the file could have made it without its key ("+joinNames(names)+" stands in clear, or in a file that is partly in clear)",
		"look at the file; if it is right, say the same with `zavhoz resource edit "+handle+"`; encrypt all of the file, and changes need no confirmation").With("unconfirmed", joinNames(names))
}
