package sync

import (
	"maps"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Counts says what a cycle found and did.
type Counts struct {
	Seen      int `json:"seen"`      // records in the list that have an id
	Skipped   int `json:"skipped"`   // records without an id, or with one that came before
	New       int `json:"new"`       // rows made
	Back      int `json:"back"`      // rows that were missing or suspended
	Absent    int `json:"absent"`    // rows that the list does not show and that are not yet missing or suspended
	Missing   int `json:"missing"`   // rows that became missing
	Suspended int `json:"suspended"` // rows that became suspended
	Moved     int `json:"moved"`     // rows whose address changed
	Ghosts    int `json:"ghosts"`    // rows that are ghosts now
	Managed   int `json:"managed"`   // rows that are managed now
	Promoted  int `json:"promoted"`
	Demoted   int `json:"demoted"`
	Refreshed int `json:"refreshed"` // rows whose numbers were read
	Waiting   int `json:"waiting"`   // rows whose numbers were due, but time ran out
	Checked   int `json:"checked"`   // service checks made
}

// Report is what one cycle says of itself. It holds no name, address or text of the provider.
type Report struct {
	Provider string    `json:"provider"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	OK       bool      `json:"ok"`             // the list was read, all of it stored, and nothing needs a look
	Applied  bool      `json:"applied"`        // what was read is stored; false: nothing changed
	Idle     bool      `json:"idle,omitempty"` // there was nothing to do it with: a locked vault, no credentials, another leader
	Code     string    `json:"code,omitempty"` // why it is not OK
	Message  string    `json:"message,omitempty"`
	Next     string    `json:"next,omitempty"`
	Counts
	Problems    map[fault.Code]int `json:"problems,omitempty"` // failures of single records, by code
	Shrunk      *Shrunk            `json:"shrunk,omitempty"`
	Incident    *Incident          `json:"incident,omitempty"`
	LastSuccess time.Time          `json:"last_success,omitzero"`

	fault *fault.Error
}

// Err is what the cycle would tell a caller, nil when it is OK. sync_shrunk and sync_incomplete mean that the rest was stored all the same.
func (r Report) Err() error {
	if r.fault == nil {
		return nil
	}
	return r.fault
}

func (r *Report) problem(code fault.Code, n int) {
	if n > 0 {
		if r.Problems == nil {
			r.Problems = map[fault.Code]int{}
		}
		r.Problems[code] += n
	}
}

func (r *Report) fail(f *fault.Error) {
	r.OK, r.fault, r.Code, r.Message, r.Next = false, f, string(f.Code), f.Message, f.Next
}

// clone gives a report that shares nothing with r.
func (r Report) clone() Report {
	r.Problems = maps.Clone(r.Problems)
	if r.Shrunk != nil {
		s := *r.Shrunk
		r.Shrunk = &s
	}
	if r.Incident != nil {
		i := *r.Incident
		r.Incident = &i
	}
	return r
}
