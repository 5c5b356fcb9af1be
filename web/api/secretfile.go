package api

import "time"

// SecretFile is how a file that is a home of resources stands.
type SecretFile struct {
	Name     string        `json:"name"`
	Path     string        `json:"path"`
	OK       bool          `json:"ok"`                 // as it is now it is in force
	LoadedAt time.Time     `json:"loaded_at,omitzero"` // what of it was read last and is in force
	Entries  int           `json:"entries"`            // that are in force
	Code     string        `json:"code,omitempty"`     // why it is not
	Message  string        `json:"message,omitempty"`
	Next     string        `json:"next,omitempty"`
	Since    time.Time     `json:"since,omitzero"`
	Problems []FileProblem `json:"problems,omitempty"` // entries that are not used; the first of them
	More     int           `json:"more_problems,omitempty"`
}

// FileProblem is an entry that is not used. Where names keys, which SOPS keeps in clear.
type FileProblem struct {
	Where   string `json:"where"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}
