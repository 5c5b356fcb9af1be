package web

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

//go:embed pages
var pageFiles embed.FS

// pageTemplates are parsed at the first page: a start of the program does not pay for them.
var pageTemplates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{"said": said}).ParseFS(pageFiles, "pages/*.html"))
})

// said is a fault's words as a sentence of a page, what is between backticks as code.
func said(words string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(words, "`") {
		if i == 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		if part = template.HTMLEscapeString(part); i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String() + ".") // escaped above, but for our own tags
}

// maxForm bounds a form: each field of a resource at its limit, percent-encoded.
const maxForm = 4 << 20

// pageView is what a page shows: nothing of a value, and of a request nothing before its code was shown.
type pageView struct {
	Title   string
	Ref     string
	Problem string // why it did not work
	Next    string
	Code    string // as it came, for the form that follows
	Intake  *vault.Intake
	Fields  []pageField
	Typed   map[string]string // what is public of what came, to be typed once only
}

// pageField is one field of a resource's form.
type pageField struct {
	Name, Label, Help, Default  string
	Secret, Multiline, Required bool
}

// Pages serves the pages on which a person gives a secret, to who has the code. They work without scripts, and load nothing from elsewhere. Nothing of a request is told
// before its code is shown: an agent has the link, and so may others.
//
// A link is followed from anywhere, so a GET asks not where it comes from; it changes nothing. A form is taken from the page itself alone.
func (s *Server) Pages(d Door, counted func(http.Handler) http.Handler) http.Handler {
	posted := counted(http.HandlerFunc(s.postIntake))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /intake/style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		http.ServeFileFS(w, r, pageFiles, "pages/style.css")
	})
	mux.HandleFunc("GET /intake/{intake}", func(w http.ResponseWriter, r *http.Request) {
		s.page(w, r, http.StatusOK, "code.html", pageView{Title: "A secret is asked for", Ref: r.PathValue("intake")})
	})
	mux.HandleFunc("POST /intake/{intake}", posted.ServeHTTP)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with none, a browser would not say where a form comes from
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Request-Id", requestID(r))
		rc := http.NewResponseController(w)
		defer func() { _, _ = rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{}) }() // they belong to the connection
		_, _ = rc.SetReadDeadline(time.Now().Add(bodyTime)), rc.SetWriteDeadline(time.Now().Add(replyTime))
		from := r
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			from = r.Clone(r.Context())
			from.Header.Del("Sec-Fetch-Site")
		}
		if f := d.Admit(from); f != nil {
			s.fail(w, r, f)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// postIntake takes a code, and with it what a person gives.
func (s *Server) postIntake(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("intake")
	f, err := readForm(w, r)
	defer f.wipe()
	if err != nil {
		s.problemPage(w, r, pageView{Ref: ref}, err)
		return
	}
	code := f.text("code")
	if !f.has("give") {
		i, err := s.o.Vault.OpenIntake(r.Context(), ref, code)
		if err != nil {
			s.problemPage(w, r, pageView{Ref: ref}, err)
			return
		}
		s.page(w, r, http.StatusOK, "give.html", givePage(i, code))
		return
	}
	i, err := s.o.Vault.GiveByCode(r.Context(), ref, code, f.given())
	if err != nil {
		if fault.CodeOf(err) == fault.Unauthenticated { // it was counted
			s.problemPage(w, r, pageView{Ref: ref}, err)
			return
		}
		again, openErr := s.o.Vault.OpenIntake(r.Context(), ref, code)
		if openErr != nil { // the request has ended meanwhile
			s.problemPage(w, r, pageView{Ref: ref}, openErr)
			return
		}
		view := givePage(again, code)
		view.Typed = f.public()
		s.problemPage(w, r, view, err)
		return
	}
	s.page(w, r, http.StatusOK, "given.html", pageView{Title: "Given", Ref: ref, Intake: &i})
}

// givePage is the form for what a request asks for.
func givePage(i vault.Intake, code string) pageView {
	v := pageView{Title: "A secret is asked for", Ref: i.ID, Code: code, Intake: &i}
	k, err := kind.Get(i.Kind)
	if i.Key != "" || err != nil {
		return v
	}
	for _, f := range k.Fields {
		if !f.Derived {
			v.Fields = append(v.Fields, pageField{Name: f.Name, Label: strings.ReplaceAll(f.Name, "_", " "), Help: f.Help, Default: f.Default, Secret: f.Class.Sealed(), Multiline: f.Multiline, Required: f.Required})
		}
	}
	return v
}

// problemPage shows the form again, with what was wrong: in the words of a fault, which hold nothing of a value.
func (s *Server) problemPage(w http.ResponseWriter, r *http.Request, v pageView, err error) {
	f := fault.Of(err)
	v.Problem, v.Next = f.Message, f.Next
	name := "give.html"
	if v.Intake == nil {
		name = "code.html"
	} else if strings.Contains(f.Next, "--") { // flags of the command line, which is not where this person is
		v.Next = ""
	}
	v.Title = "A secret is asked for"
	status := f.Code.Of().HTTP
	if status >= 500 && f.Code != fault.VaultLocked {
		s.o.Log.Error("page failed", "route", r.Pattern, "code", string(f.Code), "request", w.Header().Get("X-Request-Id"), "cause", fault.Cause(err))
	}
	s.page(w, r, status, name, v)
}

// page writes a page whole, or a plain failure.
func (s *Server) page(w http.ResponseWriter, r *http.Request, status int, name string, v pageView) {
	var b bytes.Buffer
	if err := pageTemplates().ExecuteTemplate(&b, name, v); err != nil {
		s.fail(w, r, errors.New("a page's template failed"))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the peer may have gone
}

// given is what a form gives.
func (f form) given() vault.Given {
	g := vault.Given{Handle: f.text("handle"), Attrs: map[string]string{}, Secrets: map[string]secret.Secret{}}
	for name, value := range f {
		switch field, of, _ := strings.Cut(name, "."); {
		case name == "value":
			g.Value = secret.New(lines(value))
		case field == "attr" && len(value) > 0:
			g.Attrs[of] = string(value)
		case field == "secret" && len(value) > 0:
			g.Secrets[of] = secret.New(lines(value))
		}
	}
	return g
}

// public is what may be shown again of a form that was not taken.
func (f form) public() map[string]string {
	out := map[string]string{}
	for name, value := range f {
		if name == "handle" || strings.HasPrefix(name, "attr.") {
			out[strings.TrimPrefix(name, "attr.")] = string(value)
		}
	}
	return out
}

// lines is a value as it was meant: a browser sends every line end as CR LF, and a paste ends with one that nobody means.
func lines(v []byte) []byte {
	out := make([]byte, 0, len(v))
	for i, c := range v {
		if c == '\r' && i+1 < len(v) && v[i+1] == '\n' {
			continue
		}
		out = append(out, c)
	}
	if n := bytes.IndexByte(out, '\n'); n >= 0 && n == len(out)-1 {
		out = out[:n]
	}
	return out
}
