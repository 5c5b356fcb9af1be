package sync

import (
	"maps"
	"time"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Policy is what the operator configured. It is read afresh every cycle.
type Policy struct {
	Ghosts     []string // elements of ghost_servers; see ParseGhosts
	AutoManage bool     // servers whose intent is auto are managed; the safe default is not
}

// findings is everything that a cycle learnt before it decides.
type findings struct {
	now       time.Time
	seen      sightings
	policy    Policy
	ghosts    matcher
	services  map[string]Lifecycle // by provider id, of absent servers
	numbers   map[string]Details   // by provider id
	grace     int
	patience  int
	confirmed string
	newID     func() string
}

// verdict is an Outcome with what the report says of it.
type verdict struct {
	Outcome
	shrunk *Shrunk
	held   bool // the guard holds: absences did not count
	twins  int
}

// decide is the heart of a cycle: pure, but for the ids it draws for new rows. It may be called again with other rows.
func (f findings) decide(snap Snapshot) verdict {
	s := match(snap.Rows, f.seen)
	var v verdict
	v.shrunk, v.held = guard(snap.State.Shrunk, s.loss(), f.patience, f.confirmed, f.now)
	v.twins = s.twins
	v.State = State{LastSuccess: f.now, Shrunk: v.shrunk}
	v.Counts = Counts{Seen: len(f.seen.all), Skipped: f.seen.skipped}
	for _, p := range s.pairs {
		d := draft{findings: &f, row: *p.row, counts: &v.Counts}
		switch {
		case p.adopted:
			d.why = append(d.why, WhyIdentity)
			d.present(p.seen)
		case p.seen != nil:
			d.present(p.seen)
		case !v.held:
			d.absent(snap.State.LastSuccess)
		case !p.row.Status.gone() && p.row.Status != Decommissioned:
			v.Counts.Absent++
		}
		v.add(d)
	}
	for _, x := range s.fresh {
		d := draft{findings: &f, row: Row{ID: f.newID(), ProviderID: x.ProviderID, Status: New, Intent: Auto, CreatedAt: f.now, LastSeen: f.now},
			counts: &v.Counts}
		d.why = append(d.why, WhyNew)
		v.Counts.New++
		d.present(x)
		v.add(d)
	}
	return v
}

// add closes a draft: whose it is to manage is decided for every row, every cycle.
func (v *verdict) add(d draft) {
	d.manage()
	if len(d.why) > 0 {
		v.Changes = append(v.Changes, Change{Row: d.row, Seal: d.seal, Why: d.why})
	}
}

// draft is a row being changed.
type draft struct {
	*findings
	row    Row
	seal   map[string]secret.Secret
	why    []Reason
	counts *Counts
}

// present merges a record of the list into the row.
func (d *draft) present(x *sighting) {
	if d.row.Status.gone() {
		d.row.Status, d.row.StatusWas = d.row.StatusWas, ""
		if d.row.Status == "" || d.row.Status.gone() {
			d.row.Status = Discovered
		}
		d.why = append(d.why, WhyBack)
		d.counts.Back++
	}
	if d.row.Absent > 0 {
		d.row.Absent, d.row.LastSeen = 0, d.now
		d.why = append(d.why, WhyAbsent)
	}
	d.address(FieldIP, x.ip, x.IP)
	d.address(FieldDomain, x.domain, x.Domain)
	if d.row.Status == New && d.row.Prints[FieldIP] != "" {
		d.row.Status = Discovered
	}
	d.measure()
}

// address takes a new address over. A field that the provider does not give keeps its old value: it says nothing, it does not erase.
func (d *draft) address(field, print string, v secret.Secret) {
	if print == "" || print == d.row.Prints[field] {
		return
	}
	if d.seal == nil {
		d.seal = map[string]secret.Secret{}
		d.row.Prints = maps.Clone(d.row.Prints) // the snapshot's is not ours to change
		if d.row.Prints == nil {
			d.row.Prints = map[string]string{}
		}
	}
	if field == FieldIP && d.row.Prints[field] != "" {
		d.counts.Moved++
	}
	d.row.Prints[field], d.seal[field] = print, v
	d.why = append(d.why, WhyAddress)
}

// measure writes the numbers that were read in this cycle. Once a health check of ours has measured the use, it alone writes it: a hypervisor counts
// the page cache as used and makes a healthy host look full.
func (d *draft) measure() {
	n, ok := d.numbers[d.row.ProviderID]
	if !ok {
		return
	}
	set(&d.row.CPU, n.CPU)
	set(&d.row.RAMMB, n.RAMMB)
	set(&d.row.DiskMB, n.DiskMB)
	if n.OS != "" {
		d.row.OS = n.OS
	}
	if d.row.HealthAt.IsZero() {
		set(&d.row.UsedRAMMB, n.UsedRAMMB)
		set(&d.row.UsedDiskMB, n.UsedDiskMB)
		d.row.ObservedAt = d.now
	}
	d.why = append(d.why, WhyNumbers)
	d.counts.Refreshed++
}

func set(to *int, from *int) {
	if from != nil {
		*to = *from
	}
}

// absent counts a row that the list does not show, and believes it after the grace and the service check.
func (d *draft) absent(lastSuccess time.Time) {
	if d.row.Status == Decommissioned {
		return
	}
	if !d.row.Status.gone() {
		if d.row.Absent == 0 {
			d.row.LastSeen = lastSuccess
		}
		d.row.Absent++
		d.why = append(d.why, WhyAbsent)
	}
	answer, asked := d.services[d.row.ProviderID]
	if to, why := d.believe(answer, asked); why != "" {
		if !d.row.Status.gone() {
			d.row.StatusWas = d.row.Status
		}
		d.row.Status = to
		d.why = append(d.why, why)
	}
	switch {
	case d.has(WhyMissing):
		d.counts.Missing++
	case d.has(WhySuspended):
		d.counts.Suspended++
	case !d.row.Status.gone():
		d.counts.Absent++
	}
}

// believe says what an absent row becomes; "" for nothing. Suspended is believed at once. Deleted needs the grace. An answer that says nothing
// (a word we do not know) is taken for deletion after twice the grace, since a machine that nobody sees must not be handed out; no answer at all is not.
func (d *draft) believe(answer Lifecycle, asked bool) (Status, Reason) {
	switch {
	case !asked:
		return "", ""
	case answer == LifecycleSuspended && d.row.Status != Suspended && d.row.Absent >= d.grace:
		return Suspended, WhySuspended
	case answer == LifecycleDeleted && d.row.Status != Missing && d.row.Absent >= d.grace,
		answer == LifecycleUnknown && !d.row.Status.gone() && d.row.Absent >= 2*d.grace:
		return Missing, WhyMissing
	}
	return "", ""
}

func (d *draft) has(why Reason) bool {
	for _, w := range d.why {
		if w == why {
			return true
		}
	}
	return false
}

// manage decides is_managed: a ghost never is; else the operator's word counts; else the configuration, and not before the server has an address, for
// by that address it may be a ghost. Neither way schedules work: a row in a scheduled status that changes sides is set aside as reserved.
func (d *draft) manage() {
	ghost := d.ghosts.match(d.row)
	managed := !ghost && (d.row.Intent == Yes || d.row.Intent != No && d.policy.AutoManage && d.row.Prints[FieldIP] != "")
	if ghost != d.row.Ghost {
		d.row.Ghost = ghost
		d.why = append(d.why, WhyGhost)
	}
	if managed != d.row.IsManaged {
		d.row.IsManaged = managed
		d.side(managed)
	}
	if d.row.Ghost {
		d.counts.Ghosts++
	}
	if d.row.IsManaged {
		d.counts.Managed++
	}
}

func (d *draft) side(managed bool) {
	if d.row.Status.scheduled() {
		d.row.Status = Reserved
	}
	if d.row.StatusWas.scheduled() {
		d.row.StatusWas = Reserved
	}
	if d.has(WhyNew) {
		return
	}
	if managed {
		d.why = append(d.why, WhyPromoted)
		d.counts.Promoted++
		return
	}
	d.why = append(d.why, WhyDemoted)
	d.counts.Demoted++
}
