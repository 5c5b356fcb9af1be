package sync

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// sighting is a record of the list that can be used, with its addresses as fingerprints.
type sighting struct {
	Observed
	ip, domain string // "" where the provider gave none
}

// sightings is a list made ready: unique ids, in order of id.
type sightings struct {
	all     []*sighting
	byID    map[string]*sighting
	skipped int // without an id, or with one that came before
	bad     int
}

// sight makes a list ready. It is done once a cycle, outside the transaction.
func sight(list []Observed, reg Registry) sightings {
	s := sightings{byID: make(map[string]*sighting, len(list))}
	for _, o := range list {
		if o.Bad {
			s.bad++
		}
		if o.ProviderID == "" || s.byID[o.ProviderID] != nil {
			s.skipped++
			continue
		}
		x := &sighting{Observed: o}
		if !o.IP.IsZero() {
			x.ip = reg.Print(FieldIP, o.IP)
		}
		if !o.Domain.IsZero() {
			x.domain = reg.Print(FieldDomain, o.Domain)
		}
		s.byID[o.ProviderID], s.all = x, append(s.all, x)
	}
	slices.SortFunc(s.all, func(a, b *sighting) int { return strings.Compare(a.ProviderID, b.ProviderID) })
	return s
}

// pair is a row with the record that shows it; nil: the list does not.
type pair struct {
	row     *Row // the snapshot's: not to be changed
	seen    *sighting
	adopted bool // the row had no provider id and was matched by its address
}

// survey pairs rows and records.
type survey struct {
	pairs  []pair      // in order of the rows' ids
	fresh  []*sighting // records that no row has
	twins  int         // rows whose provider id another row has too: left alone
	strays int         // rows without a provider id that no record matches: left alone
}

// match pairs the rows with what was seen. Identity is the provider's id. Only a row without one (imported) is matched by its IP address, once, and
// only where exactly one unclaimed record has that address.
func match(rows []Row, seen sightings) survey {
	order := make([]*Row, len(rows)) // a row is big, and there may be 10,000
	for i := range rows {
		order[i] = &rows[i]
	}
	slices.SortFunc(order, func(a, b *Row) int { return strings.Compare(a.ID, b.ID) })
	var s survey
	claimed := make(map[string]bool, len(rows))
	s.pairs = make([]pair, 0, len(rows))
	var legacy []*Row
	for _, r := range order {
		switch {
		case r.ProviderID == "":
			legacy = append(legacy, r)
		case claimed[r.ProviderID]:
			s.twins++
		default:
			claimed[r.ProviderID] = true
			s.pairs = append(s.pairs, pair{row: r, seen: seen.byID[r.ProviderID]})
		}
	}
	s.claimLegacy(legacy, seen, claimed)
	for _, x := range seen.all {
		if !claimed[x.ProviderID] {
			s.fresh = append(s.fresh, x)
		}
	}
	return s
}

func (s *survey) claimLegacy(legacy []*Row, seen sightings, claimed map[string]bool) {
	if len(legacy) == 0 {
		return
	}
	byIP := map[string][]*sighting{}
	for _, x := range seen.all {
		if x.ip != "" && !claimed[x.ProviderID] {
			byIP[x.ip] = append(byIP[x.ip], x)
		}
	}
	for _, r := range legacy {
		at := byIP[r.Prints[FieldIP]]
		if len(at) != 1 || claimed[at[0].ProviderID] {
			s.strays++
			continue
		}
		claimed[at[0].ProviderID] = true
		matched := *r
		matched.ProviderID = at[0].ProviderID
		s.pairs = append(s.pairs, pair{row: &matched, seen: at[0], adopted: true})
	}
}

// loss is what the list no longer shows.
type loss struct {
	known  int    // rows that the list should show
	absent int    // of these, the ones that it does not
	digest string // over every row that it does not show, gone already or not: steady while they become missing one after another
}

func (s survey) loss() loss {
	var l loss
	h := sha256.New()
	ids := make([]string, 0, 16)
	for _, p := range s.pairs {
		if p.row.Status == Decommissioned {
			continue
		}
		if p.seen == nil {
			ids = append(ids, p.row.ProviderID)
		}
		if !p.row.Status.gone() {
			l.known++
			if p.seen == nil {
				l.absent++
			}
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		_, _ = h.Write([]byte(id + "\n"))
	}
	l.digest = hex.EncodeToString(h.Sum(nil)[:16])
	return l
}
