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
	Lost     *FileLoss     `json:"lost,omitempty"`     // more than is believed at once: POST …/files/{name}/accept
	Problems []FileProblem `json:"problems,omitempty"` // entries that are not used; the first of them
	More     int           `json:"more_problems,omitempty"`
}

// FileLoss is how many of the resources that a file had are not in it any more.
type FileLoss struct {
	Absent int `json:"absent"`
	Known  int `json:"known"`
}

// AcceptLoss says that what a file lost is meant to be gone: so many as the person saw.
type AcceptLoss struct {
	Absent int `json:"absent"`
}

// FileProblem is an entry that is not used. Where names keys, which SOPS keeps in clear.
type FileProblem struct {
	Where   string `json:"where"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}
