package egress_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// whole tells of each request whether all of its body arrived.
type whole struct {
	mu sync.Mutex
	n  int
}

func (w *whole) handle(rw http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		w.mu.Lock()
		w.n++
		w.mu.Unlock()
	}
}

func (w *whole) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.n
	w.n = 0
	return n
}

func multipart(boundary string, headers ...string) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString("--" + boundary + "\r\n" + h + "\r\n\r\nDELETE\r\n")
	}
	return b.String() + "--" + boundary + "--\r\n"
}

// TestAttack40_AFormThatNamesAnotherMethod: frameworks take the method from a field. Where the policy tells methods apart no such form arrives whole, wherever the field
// stands, however it is written and however the body is cut.
func TestAttack40_AFormThatNamesAnotherMethod(t *testing.T) {
	var w whole
	u := newUpstream(t, w.handle, "free.test")
	limited := u.resource("free.test")
	limited.Rules = []policy.HostRule{{Host: host, Port: u.port, Methods: []string{"GET", "POST"}}, {Host: "free.test", Port: u.port}}
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{limited}, Matcher: matcher(t, truth)})
	const form, json = "application/x-www-form-urlencoded", "application/json"
	pad := strings.Repeat("a=b&", 60_000)
	part := func(h ...string) string { return multipart("XyZ", h...) }
	const mixed = `multipart/form-data; boundary=XyZ`
	file := "Content-Disposition: form-data; name=\"f\"; filename=\"_methods.py\"\r\nContent-Type: text/x-python"
	attacks := map[string][2]string{
		"plain": {form, "_method=DELETE"}, "second": {form, "a=b&_method=DELETE"}, "far behind": {form, pad + "_method=DELETE"}, "semicolon": {form, "a=b;_method=DELETE"}, "capitals": {form, "_METHOD=delete"},
		"encoded": {form, "%5Fmeth%6Fd=DELETE"}, "no value": {form, "a&_method"}, "an array": {form, "_method[]=DELETE"}, "encoded array": {form, "_method%5B%5D=DELETE"}, "a blank before": {form, "+%20_method=DELETE"},
		"many blanks": {form, strings.Repeat("+", 5000) + "_method=DELETE"}, "php's dot": {form, ".method=DELETE"}, "a zero byte": {form, "_method%00x=DELETE"}, "the other names": {form, "x-http-method-override=DELETE"},
		"with a charset": {form + "; charset=utf-8", "_method=DELETE"}, "in capitals": {"APPLICATION/X-WWW-FORM-URLENCODED", "_method=DELETE"}, "no type": {"", "_method=DELETE"}, "bad escapes": {form, "%zz=1&_metho%64=x"},
		"a part":          {mixed, part(`Content-Disposition: form-data; name="_method"`)},
		"unquoted":        {mixed, part(`Content-Disposition: form-data; name=_method`)},
		"behind files":    {mixed, part(file, file, `content-disposition:form-data;name="_method"`)},
		"a quoted pair":   {mixed, part(`Content-Disposition: form-data; name="_met\hod"`)},
		"extended":        {mixed, part(`Content-Disposition: form-data; name*=utf-8''%5Fmethod`)},
		"folded":          {mixed, part("Content-Disposition: form-data;\r\n name=\"_method\"")},
		"bare lines":      {mixed, strings.ReplaceAll(part(`Content-Disposition: form-data; name="_method"`), "\r\n", "\n")},
		"a long header":   {mixed, part("X-Pad: " + strings.Repeat("p", 9000) + "\r\nContent-Disposition: form-data; name=\"_method\"")},
		"quoted boundary": {`multipart/form-data; boundary="XyZ"`, part(`Content-Disposition: form-data; name="_method"`)},
		"two boundaries":  {`multipart/form-data; boundary=Abc; boundary=XyZ`, part(`Content-Disposition: form-data; name="_method"`)},
		"no boundary":     {`multipart/form-data`, part(`Content-Disposition: form-data; name="_method"`)},
		"json":            {json, `{"a":"b","_method":"DELETE"}`}, "json escaped": {json, `{"\u005fmeth\u006Fd":"DELETE"}`}, "json of a vendor": {"application/vnd.api+json", `{"_method" : "PUT"}`},
	}
	innocent := map[string][2]string{
		"a form": {form, pad + "method=x&http_method=GET&_methods=1&x=_method"}, "json by curl": {form, `{"model":"x","text":"` + strings.Repeat("z", 70_000) + `"}`},
		"a file": {mixed, part(file, `Content-Disposition: form-data; name="method"`)}, "json": {json, `{"method":"x","text":"say \"_method and more"}`}, "text": {"text/plain", "_method=DELETE"},
		"octets": {"application/octet-stream", "_method=DELETE&" + pad},
	}
	post := func(c *http.Client, to string, x [2]string, drip bool, headers ...string) (int, string) {
		body := io.Reader(strings.NewReader(x[1]))
		if drip {
			body = dripping{bytes.NewReader([]byte(x[1]))}
		}
		q, err := http.NewRequest("POST", to, body)
		if err != nil {
			t.Fatal(err)
		}
		if q.Header["Content-Type"] = []string{x[0]}; x[0] == "" {
			delete(q.Header, "Content-Type")
		}
		for i := 0; i < len(headers); i += 2 {
			q.Header.Set(headers[i], headers[i+1])
		}
		resp, err := c.Do(q)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		for name, x := range attacks {
			for _, drip := range []bool{false, len(x[1]) < 1000} {
				if status, b := post(c, u.url("/x"), x, drip, "Authorization", "Bearer "+standIn); status == 200 || status != 0 && !strings.Contains(b, "request_not_allowed") {
					t.Errorf("%s: %d %s", name, status, b)
				}
				if w.taken() != 0 {
					t.Errorf("%s: it arrived whole", name)
				}
			}
		}
		if status, b := post(c, u.url("/x"), [2]string{form, "a=b"}, false, "Content-Encoding", "gzip"); status != 403 || !strings.Contains(b, "compressed") {
			t.Errorf("packed: %d %s", status, b)
		}
		for name, x := range innocent {
			for _, drip := range []bool{false, len(x[1]) < 1000} {
				if status, b := post(c, u.url("/x"), x, drip); status != 200 || w.taken() != 1 {
					t.Errorf("%s: %d %s", name, status, b)
				}
			}
		}
		at := fmt.Sprintf("https://free.test:%d/x", u.port)
		if status, b := post(c, at, attacks["plain"], false); status != 200 || w.taken() != 1 { // what is allowed there does not depend on the method
			t.Errorf("free: %d %s", status, b)
		}
	})
}

// The same with curl: it says why.
func TestCurlIsToldOfAMethodInAForm(t *testing.T) {
	var w whole
	u := newUpstream(t, w.handle)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	for _, args := range [][]string{{"-d", "_method=DELETE"}, {"-F", "_method=DELETE"}, {"-F", "f=@/etc/hostname", "-F", "_method=DELETE"}, {"--json", `{"_method":"DELETE"}`}} {
		if out := r.program(t, "curl", append([]string{"-sS", u.url("/x")}, args...)...); !contains(out, "request_not_allowed", "overrides the method") || w.taken() != 0 {
			t.Errorf("%v: %s", args, out)
		}
	}
}
