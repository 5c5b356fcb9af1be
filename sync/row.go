package sync

import (
	"slices"
	"time"
)

// Status is a server's state. The names are frozen.
type Status string

// The statuses. Sync itself writes new, discovered, missing, suspended and reserved; the others come from the operator, from adoption and from health
// checks, and sync leaves them as they are while the server is in the list.
const (
	New            Status = "new"            // in the list, no address yet: being built
	Discovered     Status = "discovered"     // in the list, not yet adopted
	PendingSetup   Status = "pending_setup"  // work is scheduled
	Provisioning   Status = "provisioning"   // work is under way
	ForceRebuild   Status = "force_rebuild"  // the operator asked to rebuild it
	Ready          Status = "ready"          // takes work
	InUse          Status = "in_use"         // takes work
	Active         Status = "active"         // takes work
	Error          Status = "error"          // setting it up failed
	Unreachable    Status = "unreachable"    // ours: a health check could not reach it; the list neither sets nor clears it
	Maintenance    Status = "maintenance"    // the operator took it out
	Reserved       Status = "reserved"       // kept aside, no work is scheduled
	Missing        Status = "missing"        // gone from the list, and the service check does not say suspended
	Suspended      Status = "suspended"      // gone from the list, and the provider says why: unpaid
	Decommissioned Status = "decommissioned" // the operator gave it up: its absence is no news
)

// Statuses lists every status.
func Statuses() []Status {
	return []Status{New, Discovered, PendingSetup, Provisioning, ForceRebuild, Ready, InUse, Active, Error, Unreachable, Maintenance, Reserved,
		Missing, Suspended, Decommissioned}
}

// gone tells that the row is known to be out of the list.
func (s Status) gone() bool { return s == Missing || s == Suspended }

// scheduled tells that something would be done to the machine.
func (s Status) scheduled() bool {
	return slices.Contains([]Status{PendingSetup, Provisioning, ForceRebuild}, s)
}

// Intent is what the operator said about managing a server.
type Intent string

// The intents.
const (
	Auto Intent = "auto" // as the configuration says (Policy.AutoManage)
	Yes  Intent = "yes"  // managed, unless it is a ghost
	No   Intent = "no"
)

// The address fields of a row, as the registry names them when it seals and fingerprints.
const (
	FieldIP     = "ip"
	FieldDomain = "domain"
)

// Row is a server as the registry keeps it. Addresses are here as fingerprints only.
type Row struct {
	ID         string // srv_…
	ProviderID string // "": a row imported without one; it is matched once by address
	Handle     string // of the adopted resource, or its id; "" while nobody adopted it
	Prints     map[string]string
	Status     Status
	StatusWas  Status // before missing or suspended, to come back as before
	IsManaged  bool
	Intent     Intent
	Ghost      bool
	CPU        int
	RAMMB      int
	DiskMB     int
	UsedRAMMB  int
	UsedDiskMB int
	OS         string
	Absent     int       // cycles in a row that the list did not show it, while the shrink guard was quiet
	ObservedAt time.Time // of the used numbers
	LastSeen   time.Time // in the list; kept while Absent > 0, else State.LastSuccess is the answer (a quiet cycle writes no rows)
	HealthAt   time.Time // of a health check of our own: from then on it writes the used numbers and ObservedAt, sync does not
	CreatedAt  time.Time
	Labels     map[string]string // the operator's; sync neither reads nor writes them
	Version    uint64            // of the record, kept by the registry; 0: new
}
