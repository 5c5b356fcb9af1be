package egress_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

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

// escaped writes every letter of a JSON text as an escape.
func escaped(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return b.String()
}

// wide is a text in UTF-16.
func wide(s string) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = append(b, byte(c), byte(c>>8))
	}
	return string(b)
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
	const named = `Content-Disposition: form-data; name="_method"`
	cut := func(boundary string) string { return multipart(boundary, named) }
	for name, x := range map[string][2]string{
		"boundary in a quoted pair": {`multipart/form-data; boundary="a\"b"`, cut(`a\`)}, "extended boundary": {`multipart/form-data; boundary*=utf-8''xyz`, cut(`utf-8''xyz`)},
		"boundary in pieces": {`multipart/form-data; boundary*0=xy; boundary*1=z`, cut("xyz")}, "single quotes": {`multipart/form-data; boundary='XyZ'`, cut("XyZ")}, "a comma": {`multipart/form-data; boundary="XyZ,a"`, cut("XyZ")},
		"a semicolon": {`multipart/form-data; boundary="XyZ;a"`, cut("XyZ")}, "a blank behind": {`multipart/form-data; boundary=XyZ ; charset=utf-8`, cut("XyZ ")}, "another's boundary": {`multipart/form-data; xboundary=Abc; boundary=XyZ`, cut("Abc")},
		"a tab": {"multipart/form-data;\tboundary=XyZ", cut("Abc")}, "a quote within": {`multipart/form-data; boundary=Xy"Z`, cut("Xy")}, "a boundary in it": {`multipart/form-data; boundary="aboundary=XyZ"`, cut("XyZ")}, "an open quote": {`multipart/form-data; boundary="XyZ`, cut("XyZ")}, "no value of it": {`multipart/form-data; boundary=`, cut("")},
		"boundary in capitals": {`multipart/form-data; Boundary=Abc; BOUNDARY=XyZ`, cut("XyZ")}, "a list of types": {`text/plain, application/x-www-form-urlencoded`, "_method=DELETE"}, "twice a charset": {form + "; charset=utf-8; charset=ibm037", "a=b"},
		"a charset of other letters": {form + "; charset=ibm037", "a=b"}, "json in another charset": {json + "; charset=utf-7", `{}`}, "parts in another": {mixed + "; charset=utf-16", part(file)}, "an empty type": {" ", "_method=DELETE"},
		"no type at all": {"form", "_method=DELETE"}, "a type within": {`text/plain; x="` + form + `"`, "_method=DELETE"}, "a boundary of a text": {`text/plain; boundary=XyZ`, cut("XyZ")},
		"brackets before": {form, "[_method]=DELETE"}, "many brackets": {form, strings.Repeat("[%5B", 500) + "_method]=DELETE"}, "behind a bracket": {form, "a=1&][_method=DELETE"}, "iis": {form, "%u005fmethod=DELETE"}, "php's bracket": {form, "_http[method=DELETE"},
		"an encoded zero before": {form, "%00_method=DELETE"}, "a raw zero before": {form, "\x00_method=DELETE"}, "mixed case": {form, "_MeThOd=DELETE"},
		"an array of parts": {mixed, part(`Content-Disposition: form-data; name="_method[]"`)}, "brackets of a part": {mixed, part(`Content-Disposition: form-data; name="[_method]"`)}, "a blank of a part": {mixed, part(`Content-Disposition: form-data; name=" _method"`)},
		"a zero of a part": {mixed, part("Content-Disposition: form-data; name=\"\x00_method\"")}, "case of a part": {mixed, part(`CONTENT-DISPOSITION: FORM-DATA; NAME="_Method"`)}, "a word behind": {mixed, part(`Content-Disposition: form-data; name=_method x`)},
		"name in pieces": {mixed, part(`Content-Disposition: form-data; name*0="_met"; name*1="hod"`)}, "name in another charset": {mixed, part(`Content-Disposition: form-data; name*=ibm037''x`)}, "a mail's name": {mixed, part(`Content-Disposition: form-data; name="=?utf-8?B?X21ldGhvZA==?="`)},
		"folded within": {mixed, part("Content-Disposition: form-data; name=\"_met\r\n\thod\"")}, "half an empty line": {mixed, part("X: a\n\n" + named)}, "half a line of another kind": {mixed, part("X: a\r\r" + named)}, "a mixed empty line": {mixed, part("X: a\n\r\n" + named)},
		"parts in a part": {mixed, part("Content-Type: multipart/mixed; boundary=Abc")}, "requests in parts": {`multipart/mixed; boundary=XyZ`, part("Content-Type: application/http")}, "other parts": {`multipart/related; boundary=XyZ`, part(named)},
		"a preamble": {mixed, "preamble --Xy\r\n--XyZ\r\n\r\n" + part(named)}, "behind the end": {mixed, part(file) + "epilogue\r\n" + part(named)}, "no line before": {mixed, "x--XyZ\r\n" + named + "\r\n\r\nDELETE\r\n--XyZ--"},
		"json twice": {json, `{"_method":"GET","_method":"DELETE"}`}, "json all escaped": {json, `{"` + escaped("x-http-method-override") + `":"DELETE"}`}, "json escaped for nothing": {json, `{"_met\hod":"DELETE"}`}, "json of five": {json, `{"\x5fmethod":"DELETE"}`},
		"json's word": {json, `{_method:"DELETE"}`}, "json's other quotes": {json, `{'x"y':1,'_method':"DELETE"}`}, "json's comment": {json, "{//\"\n\"_method\":\"DELETE\"}"}, "json in utf-16": {json, wide(`{"∁":1,"_method":"DELETE"}`)},
	} {
		attacks[name] = x
	}
	innocent := map[string][2]string{
		"a form": {form, pad + "method=x&http_method=GET&_methods=1&x=_method"}, "json by curl": {form, `{"model":"x","text":"` + strings.Repeat("z", 70_000) + `"}`},
		"a file": {mixed, part(file, `Content-Disposition: form-data; name="method"`)}, "json": {json, `{"method":"x","text":"say \"_method and more"}`}, "text": {"text/plain", "_method=DELETE"},
		"octets":            {"application/octet-stream", "_method=DELETE&" + pad},
		"a mail's boundary": {`multipart/form-data; boundary="===============12=="; charset=UTF-8`, multipart("===============12==", file)}, "a browser's": {`multipart/form-data;boundary=----WebKitFormBoundaryAb1`, multipart("----WebKitFormBoundaryAb1", file)},
		"a text of elsewhere": {"text/plain; charset=koi8-r", "x"}, "related": {`multipart/related; type="application/json"; boundary=XyZ`, part("Content-Type: application/json")}, "a name that is extended": {mixed, part(`Content-Disposition: form-data; name="f"; filename*=UTF-8''%C3%A4.txt`)},
		"json with all": {json + ";charset=UTF-8", "\ufeff[{\"a\\u00e9\\n\":-1.5e+3,\"b\":[true,null]}]\r\n"}, "json with a semicolon": {json + ";", `{}`},
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
