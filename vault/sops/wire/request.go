package wire

import "github.com/zavhoz/zavhoz/vault/secret"

// Change sets or removes what is at a path of the first document: names of keys, and numbers in lists. Maps on the way are made.
type Change struct {
	Path  []string
	Unset bool
	Value Node
}

// EditRequest changes the loaded file.
type EditRequest struct {
	Key     secret.Secret
	Changes []Change
}

// Encode gives the body.
func (q EditRequest) Encode() []byte {
	return body(func(w *writer) {
		w.secret(q.Key)
		w.uint(len(q.Changes))
		for _, c := range q.Changes {
			w.uint(len(c.Path))
			for _, p := range c.Path {
				w.text(p)
			}
			w.bool(c.Unset)
			w.node(c.Value)
		}
	})
}

// DecodeEdit reads the body.
func DecodeEdit(b []byte) (EditRequest, error) {
	q, err := whole(b, func(r *reader) (q EditRequest) {
		q.Key = r.secret()
		for range r.count(MaxNodes) {
			var c Change
			for range r.count(MaxDepth) {
				c.Path = append(c.Path, r.text())
			}
			c.Unset = r.bool()
			c.Value = r.node(0)
			q.Changes = append(q.Changes, c)
			if r.err != nil {
				break
			}
		}
		return q
	})
	if err != nil {
		q.Wipe()
	}
	return q, err
}

// Wipe overwrites the key and the values.
func (q EditRequest) Wipe() {
	q.Key.Wipe()
	for _, c := range q.Changes {
		c.Value.Wipe()
	}
}

// RewrapRequest replaces the keys of the loaded file. A key without Enc is one that the file has: it stays as it is.
type RewrapRequest struct {
	Groups    [][]Key
	Threshold int
}

// Encode gives the body.
func (q RewrapRequest) Encode() []byte {
	return body(func(w *writer) { w.groups(q.Groups); w.uint(q.Threshold) })
}

// DecodeRewrap reads the body.
func DecodeRewrap(b []byte) (RewrapRequest, error) {
	return whole(b, func(r *reader) RewrapRequest { return RewrapRequest{r.groups(), r.uint(255)} })
}

// RotateRequest encrypts the loaded file anew under another data key, which Groups hold.
type RotateRequest struct {
	Key, New  secret.Secret
	Groups    [][]Key
	Threshold int
}

// Encode gives the body.
func (q RotateRequest) Encode() []byte {
	return body(func(w *writer) { w.groups(q.Groups); w.uint(q.Threshold); w.secret(q.Key); w.secret(q.New) })
}

// DecodeRotate reads the body.
func DecodeRotate(b []byte) (RotateRequest, error) {
	return whole(b, func(r *reader) RotateRequest {
		return RotateRequest{Groups: r.groups(), Threshold: r.uint(255), Key: r.secret(), New: r.secret()}
	})
}

// CreateRequest makes a file.
type CreateRequest struct {
	Format    string
	Groups    [][]Key
	Threshold int
	Rules     Rules
	Key       secret.Secret
	Tree      Tree
}

// Encode gives the body.
func (q CreateRequest) Encode() []byte {
	return body(func(w *writer) {
		w.text(q.Format)
		w.groups(q.Groups)
		w.uint(q.Threshold)
		w.rules(q.Rules)
		w.secret(q.Key)
		w.tree(q.Tree)
	})
}

// DecodeCreate reads the body.
func DecodeCreate(b []byte) (CreateRequest, error) {
	return whole(b, func(r *reader) CreateRequest {
		return CreateRequest{Format: r.text(), Groups: r.groups(), Threshold: r.uint(255), Rules: r.rules(), Key: r.secret(), Tree: r.tree()}
	})
}

// RulesRequest asks which creation rule of a .sops.yaml is for a file. Path is relative to the folder of the .sops.yaml where it lies below it.
type RulesRequest struct {
	Config []byte
	Path   string
}

// Encode gives the body.
func (q RulesRequest) Encode() []byte {
	return body(func(w *writer) { w.bytes(q.Config); w.text(q.Path) })
}

// DecodeRules reads the body.
func DecodeRules(b []byte) (RulesRequest, error) {
	return whole(b, func(r *reader) RulesRequest { return RulesRequest{r.part(), r.text()} })
}

// Creation is the rule that fits: recipients without Enc, and what is to be encrypted. Found is false where the configuration has no creation rules.
type Creation struct {
	Found     bool
	Groups    [][]Key
	Threshold int
	Rules     Rules
}

// Encode gives the body.
func (c Creation) Encode() []byte {
	return body(func(w *writer) { w.bool(c.Found); w.groups(c.Groups); w.uint(c.Threshold); w.rules(c.Rules) })
}

// DecodeCreation reads the body.
func DecodeCreation(b []byte) (Creation, error) {
	return whole(b, func(r *reader) Creation { return Creation{r.bool(), r.groups(), r.uint(255), r.rules()} })
}

// SplitRequest asks for shares of a data key, of which Threshold give it back.
type SplitRequest struct {
	Key              secret.Secret
	Parts, Threshold int
}

// Encode gives the body.
func (q SplitRequest) Encode() []byte {
	return body(func(w *writer) { w.uint(q.Parts); w.uint(q.Threshold); w.secret(q.Key) })
}

// DecodeSplit reads the body.
func DecodeSplit(b []byte) (SplitRequest, error) {
	return whole(b, func(r *reader) SplitRequest {
		return SplitRequest{Parts: r.uint(255), Threshold: r.uint(255), Key: r.secret()}
	})
}

// Shares are parts of a data key.
type Shares []secret.Secret

// Encode gives the body.
func (s Shares) Encode() []byte {
	return body(func(w *writer) {
		w.uint(len(s))
		for _, x := range s {
			w.secret(x)
		}
	})
}

// DecodeShares reads the body.
func DecodeShares(b []byte) (Shares, error) {
	return whole(b, func(r *reader) (s Shares) {
		for range r.count(255) {
			s = append(s, r.secret())
		}
		return s
	})
}

// Wipe overwrites them.
func (s Shares) Wipe() {
	for _, x := range s {
		x.Wipe()
	}
}
