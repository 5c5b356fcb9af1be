package api

// Import is the first line of an import's body. Each further line is an ImportItem: JSON lines, so that each is decoded, taken and wiped by itself.
type Import struct {
	OnConflict string `json:"on_conflict,omitempty"` // refuse (default), skip, replace
	DryRun     bool   `json:"dry_run,omitempty"`
}

// ImportItem is one resource of an import. It brings no policy.
type ImportItem struct {
	Kind    string            `json:"kind"`
	Handle  string            `json:"handle"`
	Project string            `json:"project,omitempty"`
	Attrs   map[string]string `json:"attrs,omitempty"`
	Secrets map[string]Value  `json:"secrets,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Why     string            `json:"why,omitempty"`
}

// ImportResult tells what became of a resource.
type ImportResult struct {
	Handle  string   `json:"handle"`
	Kind    string   `json:"kind"`
	Project string   `json:"project"`
	Outcome string   `json:"outcome"` // added, replaced, unchanged, skipped, conflict
	Remarks []string `json:"remarks,omitempty"`
}

// Imported tells what an import did, in the order of its items.
type Imported struct {
	Items    []ImportResult `json:"items"`
	Projects []string       `json:"projects,omitempty"` // that were made for it
}

// Export asks for resources, encrypted for recipients.
type Export struct {
	Handles []string `json:"handles"`
	To      []string `json:"to"`               // public keys
	Format  string   `json:"format,omitempty"` // sops-yaml (default), sops-json, sops-dotenv, sops-ini, age-json
}

// Exported is an export.
type Exported struct {
	File    []byte   `json:"file"` // ciphertext
	Handles []string `json:"handles"`
}
