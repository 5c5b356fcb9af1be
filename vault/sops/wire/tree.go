package wire

import "github.com/zavhoz/zavhoz/vault/secret"

// Kind is the type of a value in the neutral form.
type Kind byte

// The kinds. Scalars are the text that SOPS authenticates: "42", "1.5", "True", RFC 3339.
const (
	Null    Kind = 0
	String  Kind = 1
	Int     Kind = 2
	Float   Kind = 3
	Bool    Kind = 4
	Time    Kind = 5
	Map     Kind = 6
	List    Kind = 7
	Comment Kind = 8 // a line of its own, without its `#`
	Inline  Kind = 9 // a comment behind a value; it comes before it
)

// Scalar tells whether a value of the kind is its Text.
func (k Kind) Scalar() bool { return k >= String && k <= Time }

// IsComment tells whether it is a comment of either sort.
func (k Kind) IsComment() bool { return k == Comment || k == Inline }

// Node is one value of a file. What may be secret is a Secret: scalars, and comments, which SOPS encrypts too.
type Node struct {
	Kind  Kind
	Text  secret.Secret // of a scalar or a comment
	Items []Item        // of a map or a list, in the file's order
	// Sealed, of a scalar: read, it stood encrypted in the file; to be written, a file that would hold it in clear is refused.
	Sealed bool
}

// sealedBit beside a scalar's kind says that it is Sealed.
const sealedBit = 0x80

// Item is one entry of a map (Key is its name) or a list (Key is ""); comments stand between the entries.
type Item struct {
	Key   string
	Value Node
}

// Tree is a file's plain content: most have one document.
type Tree struct{ Documents []Node }

// Wipe overwrites every value below.
func (n Node) Wipe() {
	n.Text.Wipe()
	for _, i := range n.Items {
		i.Value.Wipe()
	}
}

// Clone copies every value below: the copy is its receiver's to wipe.
func (n Node) Clone() Node {
	if n.Kind.Scalar() || n.Kind.IsComment() {
		n.Text = n.Text.Clone()
	}
	items := n.Items
	n.Items = nil
	for _, i := range items {
		n.Items = append(n.Items, Item{Key: i.Key, Value: i.Value.Clone()})
	}
	return n
}

// Wipe overwrites every value of the file.
func (t Tree) Wipe() {
	for _, d := range t.Documents {
		d.Wipe()
	}
}

// Get finds the value of a key of a map; duplicates do not come through the helper.
func (n Node) Get(key string) (Node, bool) {
	if n.Kind != Map {
		return Node{}, false
	}
	for _, i := range n.Items {
		if i.Key == key && !i.Value.Kind.IsComment() {
			return i.Value, true
		}
	}
	return Node{}, false
}

func (w *writer) node(n Node) {
	mark := byte(0)
	if n.Sealed && n.Kind.Scalar() {
		mark = sealedBit
	}
	w.byte(byte(n.Kind) | mark)
	switch {
	case n.Kind.Scalar() || n.Kind.IsComment():
		w.secret(n.Text)
	case n.Kind == Map || n.Kind == List:
		w.uint(len(n.Items))
		for _, i := range n.Items {
			if n.Kind == Map {
				w.text(i.Key)
			}
			w.node(i.Value)
		}
	}
}

func (r *reader) node(depth int) (n Node) {
	if r.nodes++; r.nodes > MaxNodes || depth > MaxDepth+2 {
		r.fail()
		return n
	}
	b := r.byte()
	n.Kind, n.Sealed = Kind(b&^sealedBit), b&sealedBit != 0
	switch {
	case n.Sealed && !n.Kind.Scalar():
		r.fail()
	case n.Kind.Scalar() || n.Kind.IsComment():
		n.Text = r.secret()
	case n.Kind == Map || n.Kind == List:
		for range r.count(MaxNodes) {
			var i Item
			if n.Kind == Map {
				i.Key = r.text()
			}
			if i.Value = r.node(depth + 1); r.err != nil {
				i.Value.Wipe()
				break
			}
			n.Items = append(n.Items, i)
		}
	case n.Kind != Null:
		r.fail()
	}
	return n
}

func (w *writer) tree(t Tree) {
	w.uint(len(t.Documents))
	for _, d := range t.Documents {
		w.node(d)
	}
}

func (r *reader) tree() (t Tree) {
	for range r.count(MaxNodes) {
		d := r.node(0)
		t.Documents = append(t.Documents, d)
		if r.err != nil {
			t.Wipe()
			return Tree{}
		}
	}
	return t
}
