package audit

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Limits of one page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Filter chooses records. Empty fields choose all.
type Filter struct {
	Action  Action
	Actor   string // id or name
	Handle  string
	Subject string
	Outcome Outcome
	Since   time.Time // not before
	Limit   int       // of the page; default DefaultLimit, at most MaxLimit
	Cursor  string    // from the page before
}

func (f Filter) takes(r Record) bool {
	return (f.Action == "" || f.Action == r.Action) && (f.Actor == "" || f.Actor == r.Actor.ID || f.Actor == r.Actor.Name) &&
		(f.Handle == "" || f.Handle == r.Handle) && (f.Subject == "" || f.Subject == r.Subject) && (f.Outcome == "" || f.Outcome == r.Outcome)
}

// place is where a page goes on in one chain: at record Seq, whose hash the record after it named.
type place struct {
	Seq  uint64 `json:"s"`
	Hash string `json:"h"`
}

// List gives a page of records, newest first, and the cursor of the next page ("" at the end). Every record passed over is held against the one
// after it, up to the head: fault audit_broken.
func (l *Log) List(tx store.Tx, f Filter) (page []Record, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	f.Limit = min(f.Limit, MaxLimit)
	from, err := l.places(tx, f.Cursor)
	if err != nil {
		return nil, "", err
	}
	for writer, p := range from {
		rows, err := l.back(tx, writer, p, f)
		if err != nil {
			return nil, "", err
		}
		page = append(page, rows...)
	}
	slices.SortFunc(page, func(a, b Record) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(a.Writer, b.Writer), cmp.Compare(b.Seq, a.Seq))
	})
	if len(page) < f.Limit {
		return page, "", nil
	}
	page = page[:f.Limit]
	for _, r := range page {
		if p := from[r.Writer]; r.Seq <= p.Seq {
			from[r.Writer] = place{r.Seq - 1, r.Prev}
		}
	}
	return page, cursorOf(from), nil
}

// back collects up to f.Limit records of one chain from p downwards.
func (l *Log) back(tx store.Tx, writer string, p place, f Filter) (rows []Record, err error) {
	if p.Seq == 0 {
		return nil, nil
	}
	stopped := false
	err = tx.ScanDown(Records, writer+"/", recordKey(writer, p.Seq), func(key string, line []byte) (bool, error) {
		r, ok := decode(line)
		if !ok || key != recordKey(writer, p.Seq) || r.Seq != p.Seq || r.Writer != writer || r.Hash != p.Hash {
			return false, broken("record %d of %s is missing or was changed", p.Seq, writer)
		}
		p = place{r.Seq - 1, r.Prev}
		if stopped = r.Time.Before(f.Since); stopped {
			return false, nil
		}
		if f.takes(r) {
			rows = append(rows, r)
		}
		stopped = len(rows) == f.Limit
		return !stopped, nil
	})
	if err == nil && !stopped && p.Seq != 0 {
		err = broken("record %d of %s is missing", p.Seq, writer)
	}
	return rows, err
}

func (l *Log) places(tx store.Tx, cursor string) (map[string]place, error) {
	from := map[string]place{}
	if cursor == "" {
		heads, err := l.ends(tx)
		for _, h := range heads {
			from[h.Writer] = place{h.Seq, h.Hash}
		}
		return from, err
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(b) <= 16<<10 {
		err = json.Unmarshal(b, &from)
	}
	for w := range from {
		if !writerShape.MatchString(w) {
			err = fault.New(fault.InvalidArgument, "the cursor is not one of ours", "")
		}
	}
	if err != nil || len(b) > 16<<10 {
		return nil, fault.New(fault.InvalidArgument, "the cursor is not one of ours", "begin again without a cursor").Because(err)
	}
	return from, nil
}

func cursorOf(from map[string]place) string {
	b, err := json.Marshal(from)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
