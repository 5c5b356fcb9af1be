package web

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// tagged is a reply with the version that it shows, which goes into its ETag.
type tagged struct {
	body    any
	version uint64
}

func etag(version uint64) string { return `"v` + strconv.FormatUint(version, 10) + `"` }

// ifMatch sets want to the version that a request's If-Match names. A body that names another one contradicts itself. A tag of anybody else's matches nothing, and what
// is no tag is refused.
func ifMatch(r *http.Request, want **uint64) error {
	given := r.Header.Values("If-Match")
	if len(given) == 0 || len(given) == 1 && given[0] == "*" {
		return nil
	}
	if len(given) != 1 || !strings.HasSuffix(given[0], `"`) || !strings.HasPrefix(strings.TrimPrefix(given[0], "W/"), `"`) {
		return fault.New(fault.InvalidArgument, "If-Match is one ETag, in quotes", "give the one that was read")
	}
	changed := fault.New(fault.VersionConflict, "what is there is not what If-Match names", "read it again, then decide again")
	text, ok := strings.CutPrefix(given[0], `"v`)
	number, closed := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || !closed || err != nil || etag(n) != given[0] {
		return changed
	}
	if *want != nil && **want != n {
		return fault.New(fault.InvalidArgument, "If-Match and the body name two versions", "give one")
	}
	*want = &n
	return nil
}

// matched is ifMatch for a body in which 0 names no version.
func matched(r *http.Request, want *uint64) error {
	var p *uint64
	if *want != 0 {
		p = want
	}
	if err := ifMatch(r, &p); err != nil || p == nil {
		return err
	}
	*want = *p
	return nil
}

// Limits of a page over HTTP. The operator's socket gives all at once: its peer is our own program.
const (
	pageSize    = 100
	maxPageSize = 500
)

// paged gives the part of a list that a request asks for. Keys are unique and in order; a cursor is the key before the page.
func paged[T any](r *http.Request, all []T, key func(T) string) (any, error) {
	q := r.URL.Query()
	if callerOf(r) == nil && !q.Has("limit") && !q.Has("cursor") {
		return page(all, "", nil)
	}
	n := pageSize
	if q.Has("limit") {
		var err error
		if n, err = strconv.Atoi(q.Get("limit")); err != nil || n < 1 || n > maxPageSize {
			return nil, fault.New(fault.InvalidArgument, "limit is between 1 and 500", "")
		}
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if text := q.Get("cursor"); text != "" {
		after, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(after) == 0 || len(after) > 512 {
			return nil, fault.New(fault.InvalidArgument, "the cursor is not one that zavhoz gave", "start again without a cursor")
		}
		i, found := slices.BinarySearchFunc(all, string(after), func(x T, k string) int { return strings.Compare(key(x), k) })
		if found {
			i++
		}
		all = all[i:]
	}
	if len(all) <= n {
		return page(all, "", nil)
	}
	return page(all[:n], base64.RawURLEncoding.EncodeToString([]byte(key(all[n-1]))), nil)
}
