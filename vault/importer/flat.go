package importer

import (
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

var notInNames = lazyregexp.New(`[^A-Za-z0-9_]+`)

// FromTree gives what a verified SOPS file, or a plain file of the same form, holds: resources by the layout, or where something else stands at its top, names and values.
// The values are copies; the tree stays the caller's. Errors: not_supported (several documents), too_large (of the names).
func FromTree(t wire.Tree, format, project string) ([]Item, error) {
	if len(t.Documents) == 1 && (format == "yaml" || format == "json") && !sops.IsLayout(t.Documents[0]) {
		return flatten(t.Documents[0])
	}
	set, err := sops.ReadLayout(t, format, "", project)
	if err != nil {
		return nil, err
	}
	return fromSet(set), nil
}

func fromSet(set sops.Set) (out []Item) {
	told := map[string]bool{}
	for _, e := range set.Entries {
		i := Item{Kind: e.Kind, Handle: e.Handle, Project: e.Project, Attrs: e.Attrs, Secrets: e.Secrets, Labels: e.Labels, Where: strings.Join(e.Path, "."), Problem: e.Problem}
		told[i.Where] = e.Problem != nil
		out = append(out, i)
	}
	for _, s := range set.Secrets {
		i := Item{Name: s.Name, Project: s.Project, Secrets: map[string]secret.Secret{"value": s.Value}, Where: strings.Join(s.Path, ".")}
		if label(s.Hint) {
			i.Labels = map[string]string{"hint": s.Hint}
		}
		out = append(out, i)
	}
	for _, p := range set.Problems {
		if !told[p.Where] {
			out = append(out, Item{Name: p.Where, Where: p.Where, Problem: p.Err})
		}
	}
	return out
}

// label tells whether a text may stand in a label, which a model may read.
func label(s string) bool {
	_, looks := kind.LooksSecret(s)
	return s != "" && len(s) <= 128 && !looks && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xFFFD })
}

// flatten gives every scalar by its way through maps and lists: {"db": {"password": …}} is DB_PASSWORD; a name at the top stays as it is. What has a key on its way that shows a value is shown by none of them.
func flatten(n wire.Node) (out []Item, err error) {
	if wayBytes(n, 0) > maxNames {
		return nil, errNames
	}
	all, room := newSpelt(), maxShown
	all.add(n, true)
	all.walk(n, nil, 0, &room, func(path []string, pasted showing, leaf wire.Node) {
		where := "value " + strconv.Itoa(len(out)+1)
		if len(path)-1+bytesOf(path) > maxName {
			out = append(out, Item{Name: where, Where: where, Problem: errName})
			return
		}
		i := Item{Name: strings.Join(path, "."), Secrets: map[string]secret.Secret{"value": leaf.Text.Clone()}}
		i.Where = i.Name
		if _, looks := kind.LooksSecret(i.Name); len(path) > 1 && !looks { // a token in capitals looks like none any more
			i.Name, i.path = strings.ToUpper(notInNames.ReplaceAllString(strings.Join(path, "_"), "_")), path
		}
		if i.pasted = max(pasted, all.is(strings.Join(path, ".")), all.is(i.Name)); i.pasted == asIs {
			i.Where = where
		}
		out = append(out, i)
	})
	return out, nil
}

// Bounds of names, in bytes: of one, and of those of all scalars of a tree together, for each holds all keys on its way, so a few long ones above many values are a thousand
// times the file. Every name is looked at as a secret is, which takes long.
const (
	maxName  = 4 << 10
	maxNames = MaxFile
)

var (
	errName  = fault.New(fault.TooLarge, "the keys that lead to this value are longer than 4 KiB together", "shorten them, or import the value by itself")
	errNames = fault.New(fault.TooLarge, "the keys that lead to the file's values are longer than 64 MiB, counted for each value", "import it in parts, or shorten the keys above the others")
)

func bytesOf(path []string) (n int) {
	for _, key := range path {
		n += len(key)
	}
	return n
}

// wayBytes is how long the names of all scalars below n are, above being that of n.
func wayBytes(n wire.Node, above int) (sum int) {
	if n.Kind.Scalar() {
		sum = above
	}
	for i, item := range n.Items {
		own := len(item.Key)
		if n.Kind == wire.List {
			own = len(strconv.Itoa(i))
		}
		sum += wayBytes(item.Value, above+1+own)
	}
	return sum
}

// walk visits every scalar below n that has a name, and tells how a key on its way shows a value.
func (s spelt) walk(n wire.Node, path []string, pasted showing, room *int, visit func(path []string, pasted showing, leaf wire.Node)) {
	if n.Kind.Scalar() && len(path) > 0 {
		visit(path, pasted, n)
	}
	if len(n.Items) == 0 {
		return
	}
	keys := pastedKeys(n, s, room)
	for i, item := range n.Items {
		key := item.Key
		if n.Kind == wire.List {
			key = strconv.Itoa(i)
		}
		s.walk(item.Value, append(path[:len(path):len(path)], key), max(pasted, keys[i]), room, visit)
	}
}
