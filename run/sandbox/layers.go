package sandbox

import "io/fs"

// ChangeKind is what happened to a path of an overlay.
type ChangeKind string

// The kinds of change.
const (
	Added    ChangeKind = "added"
	Modified ChangeKind = "modified"
	Removed  ChangeKind = "removed"
)

// Change is one path that differs from the working directory. Its JSON is part of the shelf's format (docs/formats.md).
type Change struct {
	Workdir string      `json:"workdir"` // its path
	Path    string      `json:"path"`    // below it
	Kind    ChangeKind  `json:"kind"`
	Dir     bool        `json:"dir,omitempty"`
	Bytes   int64       `json:"bytes"`
	Mode    fs.FileMode `json:"mode"`              // what the run made of it, special bits included, which keeping takes away; 0 where it was removed
	Was     fs.FileMode `json:"was"`               // what is below, where there is something (Had)
	Target  string      `json:"target,omitempty"`  // of a symbolic link
	Outside bool        `json:"outside,omitempty"` // the link leads, or may lead, out of the working directory
	Sum     string      `json:"sum,omitempty"`     // of a file's bytes: SHA-256, in hexadecimal
	Below   Below       `json:"below,omitzero"`    // what keeping it compares with
}

// Had tells whether something lay below the path.
func (c Change) Had() bool { return c.Below.Ino != 0 }

// Below is what lay at a changed path below the layer when the run had ended. A file's identity needs no reading of the file, and its ctime nobody can set.
type Below struct {
	Ino   uint64 `json:"ino"` // 0: there was nothing
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // ns since 1970
	Ctime int64  `json:"ctime"`
	Tree  string `json:"tree,omitempty"` // of a folder that goes: the digest of the identities of all in it; "?" where it is too large to be compared
	// Unseen says that it was changed after the run had begun: whether the run saw that is not known.
	Unseen bool `json:"unseen,omitempty"`
}

// Layer is one overlay's layer on the disk, as it is found again.
type Layer struct {
	Workdir string `json:"workdir"`
	Name    string `json:"name"` // of its folder
	Dev     uint64 `json:"dev"`  // of the working directory
	Ino     uint64 `json:"ino"`
	Born    int64  `json:"born"`  // of the working directory, ns since 1970; 0 where its file system does not say
	UID     uint32 `json:"uid"`   // its owner
	GID     uint32 `json:"gid"`   // its group
	Since   int64  `json:"since"` // when the run began, ns since 1970 by the clock that files get their times from
}

// Conflict is a changed path at which something happened in the real folder meanwhile.
type Conflict struct {
	Workdir string
	Path    string
	What    Happening
}

// Happening is what happened to a path of a real folder since the run saw it.
type Happening string

// What may have happened.
const (
	HappenedChange Happening = "changed"
	HappenedDelete Happening = "deleted"
	HappenedAppear Happening = "appeared"
	HappenedType   Happening = "became another type"
	HappenedLarge  Happening = "too large to be compared"
)
