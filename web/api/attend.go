package api

// AttendRun asks for a person's own confined run, on the connection that it comes by (POST /api/v1/runs/attend, Upgrade: zavhoz-run/1). No field holds a value: what
// the command gets of the resources are stand-ins.
type AttendRun struct {
	Refs    []string          `json:"refs,omitempty"` // none: only what the person passes through
	Command []string          `json:"command"`
	Env     map[string]string `json:"env,omitempty"`     // plain
	Dir     string            `json:"dir,omitempty"`     // in one of the folders; "": the home
	Folders []Folder          `json:"folders,omitempty"` // what this run sees of the person's files
	Home    string            `json:"home,omitempty"`    // one of the folders that becomes HOME and stays; "": a private one
	Path    []string          `json:"path,omitempty"`    // where programs are looked for before the system's folders
	// PassThrough is hosts, as host[:port], that are reached through a plain tunnel: no credential goes there.
	PassThrough []string  `json:"pass_through,omitempty"`
	Level       string    `json:"level,omitempty"`     // isolation of at least this
	TimeoutS    int       `json:"timeout_s,omitempty"` // 0: none
	Terminal    *Terminal `json:"terminal,omitempty"`  // a terminal made inside; absent: three streams
}

// Folder is a folder of the person's that one run sees.
type Folder struct {
	Path  string `json:"path"` // absolute, without symbolic links
	Mode  string `json:"mode"` // ro, rw, overlay
	Force bool   `json:"force,omitempty"`
}

// Terminal describes the person's, for one that is made inside.
type Terminal struct {
	Rows int    `json:"rows"`
	Cols int    `json:"cols"`
	Term string `json:"term,omitempty"` // TERM
}
