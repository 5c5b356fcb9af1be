package egress

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// margin is how many bytes more are asked for on both sides of a range: longer than the longest value as it is, in base64 or in hex. Without it a command
// could have the host's bytes in pieces that are too short to be known (threat-model.md 58). Wider forms have six bytes for one at most (&quot;): a value of
// up to a sixth of the margin, 22 KiB, is known in all of them, and of a longer one that has lines each line is. Line breaks and spaces in between are not counted.
const margin = 2*kind.MaxField + 4<<10

// window is a range of bytes that the command asked for.
type window struct {
	first, last int64 // last -1: to the end
	suffix      int64 // the last so many bytes; 0: not that
}

var refusedRange = refuse(http.StatusBadGateway, fault.ReplyUnreadable, "the host answered another range than the one that was asked for", "ask without a range")

// widen reads Range and writes the one to send. Several ranges, other units and what cannot be read are not sent: the host then gives the whole, which is an
// answer that clients must expect.
func widen(values []string) (w *window, header []string) {
	if len(values) != 1 {
		return nil, nil
	}
	spec, ok := strings.CutPrefix(strings.ReplaceAll(values[0], " ", ""), "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	if !ok || !dash || len(from) > 18 || len(to) > 18 {
		return nil, nil
	}
	if from == "" {
		n, err := strconv.ParseUint(to, 10, 62)
		if err != nil || n == 0 {
			return nil, nil
		}
		return &window{suffix: int64(n)}, []string{"bytes=-" + strconv.FormatUint(n+margin, 10)}
	}
	first, err := strconv.ParseUint(from, 10, 62)
	if err != nil {
		return nil, nil
	}
	w = &window{first: int64(first), last: -1}
	text := "bytes=" + strconv.FormatInt(max(0, w.first-margin), 10) + "-"
	if to != "" {
		last, err := strconv.ParseUint(to, 10, 62)
		if err != nil || last < first {
			return nil, nil
		}
		w.last = int64(last)
		text += strconv.FormatInt(w.last+margin, 10)
	}
	return w, []string{text}
}

// narrow makes a partial reply the one that was asked for: its header now, its body by what the trim lets through.
func (w *window) narrow(resp *http.Response) (*trim, *refusal) {
	first, last, total, ok := contentRange(resp.Header["Content-Range"])
	if !ok || resp.ContentLength >= 0 && resp.ContentLength != last-first+1 {
		return nil, refusedRange
	}
	from, to := w.first, w.last
	if w.suffix > 0 {
		from, to = max(0, total-w.suffix), total-1
	} else if to < 0 || to >= total {
		to = total - 1
	}
	switch {
	case from >= total: // what was added is all there is
		resp.StatusCode, resp.ContentLength = http.StatusRequestedRangeNotSatisfiable, 0
		resp.Header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(total, 10)}
		return &trim{}, nil
	case first > max(0, from-margin) || last < min(total-1, to+margin): // what was not searched around the range cannot be cut off it
		return nil, refusedRange
	}
	resp.Header["Content-Range"] = []string{"bytes " + strconv.FormatInt(from, 10) + "-" + strconv.FormatInt(to, 10) + "/" + strconv.FormatInt(total, 10)}
	resp.ContentLength = to - from + 1
	return &trim{skip: from - first, left: resp.ContentLength}, nil
}

// contentRange reads "bytes 5-9/100". An unknown total is not enough to know where a range ends.
func contentRange(values []string) (first, last, total int64, ok bool) {
	if len(values) != 1 {
		return
	}
	spec, found := strings.CutPrefix(values[0], "bytes ")
	span, size, slash := strings.Cut(spec, "/")
	from, to, dash := strings.Cut(span, "-")
	if !found || !slash || !dash {
		return
	}
	var n [3]int64
	for i, s := range []string{from, to, size} {
		u, err := strconv.ParseUint(s, 10, 62)
		if err != nil {
			return
		}
		n[i] = int64(u)
	}
	return n[0], n[1], n[2], n[0] <= n[1] && n[1] < n[2]
}

// trim lets the middle of a text through: behind skip bytes, left bytes.
type trim struct {
	w          io.Writer
	skip, left int64
}

func (t *trim) Write(p []byte) (int, error) {
	n := len(p)
	k := min(t.skip, int64(len(p)))
	t.skip -= k
	p = p[k:]
	k = min(t.left, int64(len(p)))
	t.left -= k
	if k == 0 {
		return n, nil
	}
	if m, err := t.w.Write(p[:k]); err != nil {
		return n - len(p) + m, err
	}
	return n, nil
}
