package run_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// keeper keeps captured resources in memory; the vault's own tests hold the vault.
type keeper struct {
	mu     sync.Mutex
	kept   []vault.NewResource
	values map[string]string // handle.field
	taken  map[string]bool
}

func newKeeper() *keeper { return &keeper{values: map[string]string{}, taken: map[string]bool{}} }

func (k *keeper) MayKeep(_ context.Context, _ vault.Actor, handle string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.taken[handle] {
		return fault.New(fault.HandleTaken, "taken", "")
	}
	return nil
}

func (k *keeper) Keep(_ context.Context, _ vault.Actor, n vault.NewResource) (vault.Resource, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.taken[n.Handle] {
		return vault.Resource{}, fault.New(fault.HandleTaken, "taken", "")
	}
	if n.Handle == "" {
		n.Handle = n.Kind + "_generated"
	}
	k.taken[n.Handle] = true
	for f, v := range n.Secrets {
		k.values[n.Handle+"."+f] = string(v.Reveal())
		v.Wipe()
	}
	k.kept = append(k.kept, n)
	return vault.Resource{ID: "res_" + n.Handle, Handle: n.Handle, Kind: n.Kind}, nil
}

func (k *keeper) last(t *testing.T) vault.NewResource {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kept) == 0 {
		t.Fatal("nothing was kept")
	}
	return k.kept[len(k.kept)-1]
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// asking is a house with an API, and an engine that makes requests.
func asking(t *testing.T, handler http.HandlerFunc, edit func(*run.Options)) (*house, *upstream, *keeper, *run.Engine) {
	t.Helper()
	h, k := newHouse(), newKeeper()
	u := newUpstream(t, handler)
	h.acme(u)
	e := newEngine(t, h, func(o *run.Options) {
		o.Rules, o.Keeper = run.DefaultRules{}, k
		if edit != nil {
			edit(o)
		}
	})
	return h, u, k, e
}

func get(path string) run.HTTPRequest {
	return run.HTTPRequest{Actor: alice, Ref: "acme", Method: "GET", URL: path}
}

// all is everything that a model reads of a reply.
func all(r run.HTTPResult) string {
	s := r.Body + r.ContentType
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		s += name + ": " + r.Headers[name] + "\n"
	}
	if r.Captured != nil {
		s += fmt.Sprint(*r.Captured)
	}
	return s
}

func mustAsk(t *testing.T, e *run.Engine, r run.HTTPRequest) run.HTTPResult {
	t.Helper()
	res, err := e.Request(t.Context(), r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	if strings.Contains(all(res), acmeKey) {
		t.Fatalf("the key came out: %+v", res)
	}
	return res
}

func TestARequestWithoutASubprocess(t *testing.T) {
	h, u, _, e := asking(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Link", `<https://api.acme.example/items?page=2>; rel="next"`)
		w.Header().Set("Location", "https://elsewhere.example/file?signature=abcdef")
		w.Header().Set("Set-Cookie", "session=stolen")
		w.Header().Set("X-Internal", "10.0.0.7")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"method":%q,"type":%q,"version":%q,"query":%q,"items":[1,2]}`, r.Method, r.Header.Get("Content-Type"), r.Header.Get("Acme-Version"), r.URL.RawQuery)
	}, nil)
	r := run.HTTPRequest{Actor: alice, Ref: "acme", Method: "POST", URL: "/items?limit=5&token=hunter2", Body: []byte(`{"a":1}`), Headers: map[string]string{"acme-version": "2026-01-01"}}
	res := mustAsk(t, e, r)
	if res.Status != 201 || res.Body != `{"method":"POST","type":"application/json","version":"2026-01-01","query":"limit=5&token=hunter2","items":[1,2]}` || res.ContentType != "application/json" || res.Truncated || res.Withheld {
		t.Errorf("%+v", res)
	}
	if res.Headers["Link"] == "" || res.Headers["Location"] != "https://elsewhere.example/file?…" || res.Headers["Set-Cookie"] != "" || res.Headers["X-Internal"] != "" {
		t.Errorf("%v", res.Headers)
	}
	if !u.saw("Authorization", "Bearer "+acmeKey) || !u.saw("User-Agent", "zavhoz") {
		t.Error("the host did not see the credential")
	}
	record, _ := h.GetRun(t.Context(), alice, res.RunID)
	if got := strings.Join(record.Command, " "); got != "http POST https://"+upstreamHost+":"+strconv.Itoa(u.port)+"/items" || record.Isolation != run.InProcess || record.Delivered["acme"] != "none" || record.State != vault.RunExited {
		t.Errorf("recorded %q, %+v", got, record)
	}
	order := h.happened()
	if slices.Index(order, "start acme") > slices.Index(order, "open res_acme.key") || order[len(order)-1] != "end exited" {
		t.Errorf("order: %v", order)
	}
	if again := mustAsk(t, e, run.HTTPRequest{Actor: alice, Ref: "acme", Method: "GET", URL: u.url("/x")}); again.Status != 201 {
		t.Errorf("%+v", again)
	}
}

// The key that a reply gives back is masked, in the body and in what is told of its header; so is what looks like a stranger's.
func TestAttack37_AReplyThatEchoesTheKey(t *testing.T) {
	stranger := "ghp_" + strings.Repeat("a1B2", 9)
	h, _, _, e := asking(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Request-Id", r.Header.Get("Authorization"))
		fmt.Fprintf(w, "you are %s\nand %s\n\x1b[31mred", r.Header.Get("Authorization"), stranger)
	}, nil)
	res := mustAsk(t, e, get("/echo"))
	if strings.Contains(res.Body, stranger) || !strings.Contains(res.Body, "[redacted:looks-like-a-github-token]") || res.Foreign != 1 || res.Redactions < 2 || !strings.Contains(res.Body, `\u{1b}[31mred`) {
		t.Errorf("%+v", res)
	}
	if h.spent["lse_acme"] != res.Redactions {
		t.Errorf("spent %v of %d", h.spent, res.Redactions)
	}
}

// keys is an API that makes keys at /api/v1/keys, as the catalogue's row for OpenRouter says of one.
func keys(t *testing.T, lifted bool, reply http.HandlerFunc) (*house, *upstream, *keeper, *run.Engine) {
	t.Helper()
	h, u, k, e := asking(t, reply, nil)
	p := u.policy()
	p.Hosts[0].KeyEndpoints = lifted
	h.keep("api_key", "acme", map[string]string{"service": "openrouter", "hosts": upstreamHost + ":" + strconv.Itoa(u.port)}, map[string]string{"key": acmeKey}, p)
	return h, u, k, e
}

const minted = "sk-or-v1-0f9e8d7c6b5a49382716051423324150"

func mint(r run.HTTPRequest, fields map[string]string, kind string) run.HTTPRequest {
	r.Method, r.Body = "POST", []byte(`{"name":"bot"}`)
	r.Capture = &capture.Spec{Handle: "bot_key", Kind: kind, Fields: map[string]capture.Field{}, Purpose: "for the bot"}
	for name, place := range fields {
		r.Capture.Fields[name] = capture.ParseField(place)
	}
	return r
}

// Key endpoints: refused unless a person lifted the denial, and then only with a capture; what they answer is never shown.
func TestAttack40_KeyEndpointsOnlyWithACapture(t *testing.T) {
	reply := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", minted)
		if strings.HasSuffix(r.URL.Path, "/broken") {
			w.WriteHeader(http.StatusConflict)
		}
		fmt.Fprintf(w, `{"key":%q,"data":{"hash":"x","again":%q}}`, minted, minted)
	}
	_, u, _, e := keys(t, false, reply)
	for _, r := range []run.HTTPRequest{get("/api/v1/keys"), mint(get("/api/v1/keys"), map[string]string{"value": "/key"}, "")} {
		if _, err := e.Request(t.Context(), r); fault.CodeOf(err) != fault.RequestNotAllowed || u.count() != 0 {
			t.Errorf("not lifted: %v", err)
		}
	}
	h, u, k, e := keys(t, true, reply)
	if _, err := e.Request(t.Context(), get("/api/v1/keys")); fault.CodeOf(err) != fault.RequestNotAllowed || !strings.Contains(fault.Of(err).Next, "capture") || u.count() != 0 {
		t.Errorf("without a capture: %v", err)
	}
	res := mustAsk(t, e, mint(get("/api/v1/keys"), map[string]string{"value": "/key"}, ""))
	if strings.Contains(all(res), minted) || strings.Contains(all(res), "hash") || !res.Withheld || res.Status != 200 || len(res.Headers) != 0 || res.BodyBytes == 0 {
		t.Errorf("%+v", res)
	}
	if res.Captured == nil || res.Captured.Handle != "bot_key" || res.Captured.Kind != "generic" || res.Captured.Fields["value"] != "medium" || k.values["bot_key.value"] != minted {
		t.Errorf("%+v %v", res.Captured, k.values)
	}
	n := k.last(t)
	if !slices.Equal(n.Policy.Agents, []string{"alice"}) || len(n.Policy.Pins)+len(n.Policy.Hosts) != 0 || n.Labels[vault.CapturedBy] != "alice" || n.Labels[vault.CapturedFrom] != "acme" || n.Project != "default" || len(n.Attrs) != 0 ||
		!strings.HasPrefix(n.Why, "captured in run_") {
		t.Errorf("%+v", n)
	}
	if got, err := e.Get(t.Context(), alice, res.RunID, 0); err != nil || got.Stdout != "" {
		t.Errorf("Get gives %+v, %v", got, err)
	}
	again := mint(get("/api/v1/keys/broken"), map[string]string{"value": "/key"}, "")
	again.Capture.Handle = "other_key"
	if res := mustAsk(t, e, again); strings.Contains(all(res), minted) || !res.Withheld || res.Captured != nil || res.Status != 409 {
		t.Errorf("a refusal of a key endpoint: %+v", res)
	}
	if record, _ := h.GetRun(t.Context(), alice, res.RunID); strings.Contains(fmt.Sprint(record), minted) {
		t.Errorf("recorded: %+v", record)
	}
}

// What is captured for an API goes to the host that it came from, by the rules of the resource that asked, and by its denials.
func TestAttack34_ACapturedKeyGoesWhereItCameFrom(t *testing.T) {
	_, u, k, e := keys(t, true, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"key":%q}`, minted) })
	res := mustAsk(t, e, mint(get("/api/v1/keys"), map[string]string{"key": "/key"}, "api_key"))
	n := k.last(t)
	if res.Captured.Kind != "api_key" || k.values["bot_key.key"] != minted || n.Attrs["service"] != "openrouter" || n.Attrs["hosts"] != upstreamHost+":"+strconv.Itoa(u.port) {
		t.Errorf("%+v", n)
	}
	p := n.Policy
	if len(p.Hosts) != 1 || p.Hosts[0].Host != upstreamHost || p.Hosts[0].Port != u.port || p.Hosts[0].KeyEndpoints || !slices.Contains(p.Hosts[0].Deny, "/api/v1/keys/*") {
		t.Errorf("%+v", p.Hosts)
	}
	if !p.Private || p.UpstreamCA != u.ca || !slices.Equal(p.Resolve, []string{upstreamHost + "=127.0.0.1"}) || !slices.Equal(p.Deliveries, []policy.Delivery{policy.Broker, policy.None}) {
		t.Errorf("%+v", p)
	}
}

// A pattern that would take a part of the secret is refused, and literal text that is the head of one finds nothing.
func TestAttack40_APatternThatTakesHalfAToken(t *testing.T) {
	_, _, k, e := keys(t, true, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "your key is %s and that is all\n", minted)
	})
	if _, err := e.Request(t.Context(), mint(get("/api/v1/keys"), map[string]string{"value": "regex:is (.{12})"}, "")); fault.CodeOf(err) != fault.InvalidArgument {
		t.Fatal(err)
	}
	if _, err := e.Request(t.Context(), mint(get("/api/v1/keys"), map[string]string{"value": "regex:is " + minted[:4] + `(\S+)`}, "")); fault.CodeOf(err) != fault.OutputWithheld || len(k.kept) != 0 {
		t.Fatal(err)
	}
}

// Failures are few: after some, an agent's captures are refused for an hour, and each has cost it as much as ten finds of the redactor.
func TestAttack60_FailedCapturesAreFew(t *testing.T) {
	now := time.Now()
	h, tool := botHouse(t, `echo "token: $BOT_TOKEN"`)
	e := newEngine(t, h, func(o *run.Options) { o.Keeper, o.Clock = newKeeper(), func() time.Time { return now } })
	ask := func(pattern string) error {
		r := request(tool)
		r.Capture = &capture.Spec{Handle: "guess", Fields: map[string]capture.Field{"value": {Pattern: pattern}}}
		res, err := e.Run(t.Context(), r)
		if res.Stdout+res.Stderr != "" {
			t.Fatalf("%+v", res)
		}
		return err
	}
	said := map[string]bool{}
	for _, pattern := range []string{`token: (\S+)`, `token: 5(\S+)`, `token: 6(\S+)`, `token: 5318008:(\S+)`, `absent (\S+)`, `ken: (\S+)`, `(\S+)`, `token(.+)`} {
		err := ask(pattern)
		if fault.CodeOf(err) != fault.OutputWithheld {
			t.Fatalf("%s: %v", pattern, err)
		}
		said[err.Error()] = true
	}
	if len(said) != 1 {
		t.Errorf("the answers differ: %v", said)
	}
	if err := ask(`token: (\S+)`); fault.CodeOf(err) != fault.RateLimited {
		t.Errorf("the ninth: %v", err)
	}
	if h.spent["lse_bot"] < 80 {
		t.Errorf("%d redactions were spent", h.spent["lse_bot"])
	}
	now = now.Add(time.Hour + time.Minute)
	if err := ask(`token: (\S+)`); fault.CodeOf(err) != fault.OutputWithheld {
		t.Errorf("an hour later: %v", err)
	}
}

// A capture that fails shows nothing: the reply may hold the secret elsewhere.
func TestAFailedCaptureShowsNothing(t *testing.T) {
	for name, c := range map[string]struct{ reply, place string }{
		"missing":    {`{"other":"` + minted + `"}`, "/key"},
		"no JSON":    {"key=" + minted, "/key"},
		"an object":  {`{"key":{"value":"` + minted + `"}}`, "/key"},
		"twice":      {`{"key":"` + minted + `","key":"` + minted + `x"}`, "/key"},
		"short":      {`{"key":"abc1234","real":"` + minted + `"}`, "/key"},
		"dull":       {`{"key":"00000000000000","real":"` + minted + `"}`, "/key"},
		"public":     {`{"key":"` + upstreamHost + `","real":"` + minted + `"}`, "/key"},
		"no match":   {"key=" + minted, "regex:token=(\\S+)"},
		"two values": {"key=" + minted + " key=" + minted + "x", "regex:key=(\\S+)"},
		"too long":   {`{"key":"` + minted + `","x":"` + strings.Repeat("a", capture.MaxReply) + `"}`, "/key"},
		"the source": {`{"key":"` + acmeKey + `"}`, "/key"},
	} {
		_, _, k, e := keys(t, true, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(c.reply)) })
		res, err := e.Request(t.Context(), mint(get("/api/v1/keys"), map[string]string{"value": c.place}, ""))
		f := fault.Of(err)
		if err == nil || f.Code != fault.OutputWithheld || strings.Contains(all(res)+f.Message+f.Next, minted[:12]) || res.Body != "" || len(k.kept) != 0 || res.Status != 200 {
			t.Errorf("%s: %+v %v %d", name, res, err, len(k.kept))
		}
	}
}

// What would be refused at the end is refused before anything is asked for.
func TestCapturesAreCheckedFirst(t *testing.T) {
	_, u, k, e := keys(t, true, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"key":%q}`, minted) })
	k.taken["bot_key"] = true
	with := func(f func(*capture.Spec)) run.HTTPRequest {
		r := mint(get("/api/v1/keys"), map[string]string{"value": "/key"}, "")
		r.Capture.Handle = "new_key"
		f(r.Capture)
		return r
	}
	field := func(name, place string) func(*capture.Spec) {
		return func(s *capture.Spec) { s.Fields = map[string]capture.Field{name: capture.ParseField(place)} }
	}
	for name, c := range map[string]struct {
		edit func(*capture.Spec)
		code fault.Code
	}{
		"taken":           {func(s *capture.Spec) { s.Handle = "bot_key" }, fault.HandleTaken},
		"no handle":       {func(s *capture.Spec) { s.Handle = "Bad Handle" }, fault.InvalidArgument},
		"a server":        {func(s *capture.Spec) { s.Kind = "server" }, fault.InvalidArgument},
		"no field":        {func(s *capture.Spec) { s.Fields = nil }, fault.InvalidArgument},
		"a loader's":      {field("ld_preload", "/key"), fault.InvalidArgument},
		"the path":        {field("path", "/key"), fault.InvalidArgument},
		"no name":         {field("Not A Name", "/key"), fault.UnknownField},
		"no place":        {field("value", ""), fault.InvalidArgument},
		"no pointer":      {field("value", "key"), fault.InvalidArgument},
		"two groups":      {field("value", "regex:(a)(b)"), fault.InvalidArgument},
		"no group":        {field("value", "regex:a"), fault.InvalidArgument},
		"no pattern":      {field("value", "regex:(("), fault.InvalidArgument},
		"a giant":         {field("value", "regex:((.{200}){200})"), fault.InvalidArgument},
		"api_key's field": {func(s *capture.Spec) { s.Kind = "api_key" }, fault.InvalidArgument},
		"a secret":        {func(s *capture.Spec) { s.Purpose = "it is ghp_" + strings.Repeat("x1Y2", 9) }, fault.InvalidArgument},
		"two lines":       {func(s *capture.Spec) { s.Purpose = "a\nb" }, fault.InvalidArgument},
	} {
		if _, err := e.Request(t.Context(), with(c.edit)); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := with(func(*capture.Spec) {})
	r.Actor = person
	if _, err := e.Request(t.Context(), r); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("a person captures: %v", err)
	}
	if u.count() != 0 || len(k.kept) != 0 {
		t.Errorf("%d requests, %d kept", u.count(), len(k.kept))
	}
}

// A handle that was taken while the request was under way does not lose the key.
func TestACaptureIsNotLost(t *testing.T) {
	var k *keeper
	_, _, k, e := keys(t, true, func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.taken["bot_key"] = true
		k.mu.Unlock()
		fmt.Fprintf(w, `{"key":%q}`, minted)
	})
	res := mustAsk(t, e, mint(get("/api/v1/keys"), map[string]string{"value": "/key"}, ""))
	if res.Captured == nil || res.Captured.Handle != "generic_generated" || k.values["generic_generated.value"] != minted {
		t.Errorf("%+v %v", res.Captured, k.values)
	}
}

// A secret across the cut: masked first, then cut; Get reads on from where the reply ended.
func TestAttack59_ALongReplyIsMaskedThenCut(t *testing.T) {
	for pad := range 40 {
		_, _, _, e := asking(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, strings.Repeat("x", 4096-pad), acmeKey, strings.Repeat(" y", 1<<20))
		}, func(o *run.Options) { o.RingOutput = 4096 })
		res := mustAsk(t, e, get("/long"))
		if !res.Truncated || len(res.Body) != 4096 || strings.Contains(res.Body, acmeKey[:8]) {
			t.Fatalf("pad %d: %d bytes, %q", pad, len(res.Body), res.Body[4040:])
		}
	}
	_, _, _, e := asking(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, strings.Repeat("0123456789abcde\n", 8<<10))
	}, nil)
	res := mustAsk(t, e, get("/pages"))
	got, at := res.Body, res.NextOffset
	for int64(len(got)) < 128<<10 {
		p, err := e.Get(t.Context(), alice, res.RunID, at)
		if err != nil || p.Stdout == "" {
			t.Fatalf("%v after %d bytes", err, len(got))
		}
		got, at = got+p.Stdout, p.NextOffset
	}
	if got != strings.Repeat("0123456789abcde\n", 8<<10) || res.Truncated {
		t.Errorf("read %d bytes", len(got))
	}
}

// A guess in a request is answered the same whether it is a body, an address or a header, and spends of the lease's budget.
func TestAttack60_GuessesInRequestsAreCounted(t *testing.T) {
	h, u, _, e := asking(t, func(http.ResponseWriter, *http.Request) {}, nil)
	h.add("other", map[string]string{"token": token}, policy.Policy{}, nil)
	for name, edit := range map[string]func(*run.HTTPRequest){
		"body":   func(r *run.HTTPRequest) { r.Method, r.Body = "POST", []byte("is it "+token+"?") },
		"own":    func(r *run.HTTPRequest) { r.Method, r.Body = "POST", []byte("is it "+acmeKey+"?") },
		"query":  func(r *run.HTTPRequest) { r.URL = "/x?q=" + token },
		"header": func(r *run.HTTPRequest) { r.Headers = map[string]string{"Accept": token} },
	} {
		h.spent = map[string]int{}
		r := get("/x")
		edit(&r)
		_, err := e.Request(t.Context(), r)
		if f := fault.Of(err); err == nil || f.Code != fault.RequestNotAllowed || strings.Contains(f.Error(), token) || h.spent["lse_acme"] == 0 {
			t.Errorf("%s: %v, spent %v", name, err, h.spent)
		}
	}
	if u.count() != 0 {
		t.Error("a request went out")
	}
	for id, record := range h.records {
		if strings.Contains(fmt.Sprint(record), token) {
			t.Errorf("%s holds the guess: %+v", id, record)
		}
	}
}

// Where a request goes and what it says of itself.
func TestRequestsThatAreNotMade(t *testing.T) {
	h, u, _, e := asking(t, func(http.ResponseWriter, *http.Request) {}, nil)
	h.add("plain", map[string]string{"value": "generic-canary-1"}, policy.Policy{}, nil)
	h.keep("api_key", "wild", map[string]string{"env": "W_KEY", "hosts": "*.acme.example"}, map[string]string{"key": "wild-canary-0123456789"}, policy.Policy{})
	h.keep("api_key", "no_none", map[string]string{"env": "N_KEY", "hosts": "n.example"}, map[string]string{"key": "none-canary-0123456789"}, policy.Policy{Deliveries: []policy.Delivery{policy.Broker}})
	header := func(name, value string) func(*run.HTTPRequest) {
		return func(r *run.HTTPRequest) { r.Headers = map[string]string{name: value} }
	}
	to := func(url string) func(*run.HTTPRequest) { return func(r *run.HTTPRequest) { r.URL = url } }
	for name, c := range map[string]struct {
		edit func(*run.HTTPRequest)
		code fault.Code
	}{
		"another host":     {to("https://attacker.example/x"), fault.HostNotAllowed},
		"another port":     {to("https://" + upstreamHost + "/x"), fault.HostNotAllowed},
		"plain http":       {to("http://" + upstreamHost + "/x"), fault.HTTPSRequired},
		"user":             {to("https://u:p@" + upstreamHost + "/x"), fault.InvalidArgument},
		"fragment":         {to("/x#y"), fault.InvalidArgument},
		"no path":          {to("x"), fault.InvalidArgument},
		"two slashes":      {to("//attacker.example/x"), fault.InvalidArgument},
		"dots":             {to("/a/../b"), fault.InvalidArgument},
		"encoded dots":     {to("/a/%2e%2e/b"), fault.InvalidArgument},
		"blank":            {to("/a b"), fault.InvalidArgument},
		"line end":         {to("/a\r\nX: y"), fault.InvalidArgument},
		"empty":            {to(""), fault.InvalidArgument},
		"trailing dot":     {to("https://" + upstreamHost + "./x"), fault.InvalidArgument},
		"TRACE":            {func(r *run.HTTPRequest) { r.Method = "TRACE" }, fault.InvalidArgument},
		"lower case":       {func(r *run.HTTPRequest) { r.Method = "get" }, fault.InvalidArgument},
		"GET with a body":  {func(r *run.HTTPRequest) { r.Body = []byte("x") }, fault.InvalidArgument},
		"giant":            {func(r *run.HTTPRequest) { r.Method, r.Body = "POST", make([]byte, 1<<20+1) }, fault.TooLarge},
		"too patient":      {func(r *run.HTTPRequest) { r.Timeout = time.Hour }, fault.InvalidArgument},
		"authorization":    {header("authorization", "Bearer x"), fault.InvalidArgument},
		"cookie":           {header("Cookie", "a=b"), fault.InvalidArgument},
		"host":             {header("Host", "attacker.example"), fault.InvalidArgument},
		"forwarded":        {header("X-Forwarded-Host", "attacker.example"), fault.InvalidArgument},
		"override":         {header("X-HTTP-Method-Override", "DELETE"), fault.InvalidArgument},
		"length":           {header("Content-Length", "5"), fault.InvalidArgument},
		"encoding":         {header("Accept-Encoding", "br"), fault.InvalidArgument},
		"chunked":          {header("Transfer-Encoding", "chunked"), fault.InvalidArgument},
		"split":            {header("Accept", "a\r\nX: y"), fault.InvalidArgument},
		"no name":          {header("Acme Version", "1"), fault.InvalidArgument},
		"long":             {header("Accept", strings.Repeat("a", 2000)), fault.InvalidArgument},
		"override by path": {to("/x?_method=DELETE"), fault.RequestNotAllowed},
		"no stand-in":      {func(r *run.HTTPRequest) { r.Ref = "plain" }, fault.DeliveryRefused},
		"not by none":      {func(r *run.HTTPRequest) { r.Ref = "no_none" }, fault.DeliveryRefused},
		"no one host":      {func(r *run.HTTPRequest) { r.Ref = "wild" }, fault.InvalidArgument},
		"unknown":          {func(r *run.HTTPRequest) { r.Ref = "nothing" }, fault.UnknownResource},
	} {
		r := get("/x")
		c.edit(&r)
		if _, err := e.Request(t.Context(), r); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if u.count() != 0 {
		t.Errorf("%d requests went out", u.count())
	}
	_, err := e.Request(t.Context(), run.HTTPRequest{Actor: alice, Ref: "wild", Method: "GET", URL: "/x"})
	if next := fault.Of(err).Next; !strings.Contains(next, "*.acme.example") {
		t.Errorf("next: %q", next)
	}
}

func TestWhatIsNoTextIsNotShown(t *testing.T) {
	for path, c := range map[string]struct {
		kind, body string
		binary     bool
	}{
		"/png": {"image/png", "\x89PNG\r\n\x1a\n" + acmeKey, true}, "/zero": {"text/plain", "a\x00b", true}, "/bin": {"", "\xff\xfe\x01", true}, "/none": {"", "hello", false}, "/empty": {"image/png", "", false},
		"/problem": {"application/problem+json", `{"title":"x"}`, false},
	} {
		_, _, _, e := asking(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{c.kind}
			_, _ = w.Write([]byte(c.body))
		}, nil)
		res := mustAsk(t, e, get(path))
		if res.Binary != c.binary || res.BodyBytes != int64(len(c.body)) || (c.binary && res.Body != "") || (!c.binary && res.Body != c.body) {
			t.Errorf("%s: %+v", path, res)
		}
	}
}

// A reply that does not come ends with the timeout, with the caller, with stop_run and with the daemon.
func TestRequestsEnd(t *testing.T) {
	started := make(chan struct{}, 4)
	release := make(chan struct{})
	defer close(release)
	h, _, _, e := asking(t, func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}, nil)
	r := get("/slow")
	r.Timeout = 3 * time.Second // on a busy machine too it has arrived by then
	if _, err := e.Request(t.Context(), r); fault.CodeOf(err) != fault.TimedOut {
		t.Errorf("timeout: %v", err)
	}
	select {
	case <-started:
	default:
		t.Fatal("it ended before it was there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := e.Request(ctx, get("/slow")); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("caller: %v", err)
	}
	stopped := make(chan error, 1)
	go func() { _, err := e.Request(t.Context(), get("/slow")); stopped <- err }()
	<-started
	for _, record := range h.underWay() {
		if _, err := e.Stop(t.Context(), alice, record); err != nil {
			t.Error(err)
		}
	}
	if err := <-stopped; fault.CodeOf(err) != fault.Canceled {
		t.Errorf("stopped: %v", err)
	}
	go func() { _, err := e.Request(t.Context(), get("/slow")); stopped <- err }()
	<-started
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-stopped; err == nil {
		t.Error("a request outlived the daemon")
	}
	if _, err := e.Request(t.Context(), get("/slow")); fault.CodeOf(err) != fault.DaemonUnavailable {
		t.Errorf("after the end: %v", err)
	}
}

// underWay gives the ids of runs that are recorded as running.
func (h *house) underWay() (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, r := range h.records {
		if r.State == vault.RunRunning {
			ids = append(ids, id)
		}
	}
	return ids
}

// A pinned command whose output becomes a resource: none of it is shown, and what it says beside is without the value.
func TestARunWhoseOutputIsCaptured(t *testing.T) {
	h, tool := botHouse(t, `echo "id 17"; echo "token tok_`+minted+`_tail"; echo "made tok_`+minted+`_tail for you" >&2`)
	k := newKeeper()
	e := newEngine(t, h, func(o *run.Options) { o.Keeper = k })
	r := request(tool)
	r.Capture = &capture.Spec{Handle: "bot_key", Fields: map[string]capture.Field{"value": {Pattern: `token (\S+)`}}}
	res := mustRun(t, e, r)
	if res.Stdout != "" || res.Stderr != "made [redacted:bot_key.value] for you\n" || k.values["bot_key.value"] != "tok_"+minted+"_tail" || res.Captured == nil || res.Captured.Handle != "bot_key" {
		t.Errorf("%+v %v", res, k.values)
	}
	if n := k.last(t); n.Kind != "generic" || len(n.Policy.Hosts) != 0 || !slices.Equal(n.Policy.Agents, []string{"alice"}) {
		t.Errorf("%+v", n)
	}
	r.Capture = &capture.Spec{Handle: "second", Fields: map[string]capture.Field{"value": {JSONPointer: "/token"}}}
	res, err := e.Run(t.Context(), r)
	if fault.CodeOf(err) != fault.OutputWithheld || res.Stdout+res.Stderr != "" || res.Captured != nil {
		t.Errorf("%+v %v", res, err)
	}
	r.Capture = &capture.Spec{Handle: "third", Kind: "api_key", Fields: map[string]capture.Field{"key": {Pattern: `token (\S+)`}}}
	if _, err := e.Run(t.Context(), r); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("an api_key of a command: %v", err)
	}
	h.edit("bot", func(r *vault.Resource) { r.Policy = pinTo(script(t, `echo "token `+minted+`"; echo why >&2; exit 3`)) })
	r = request(h.resources["bot"].Policy.Pins[0].Argv...)
	r.Capture = &capture.Spec{Handle: "fourth", Fields: map[string]capture.Field{"value": {Pattern: `token (\S+)`}}}
	if res := mustRun(t, e, r); res.ExitCode != 3 || res.Stdout != "" || res.Stderr != "" || res.Captured != nil {
		t.Errorf("%+v", res)
	}
	if len(k.kept) != 1 {
		t.Errorf("%d kept", len(k.kept))
	}
}

// A command within walls never reaches a key endpoint, also where a person lifted its denial: what it made would be the command's.
func TestAttack40_ACommandNeverReachesKeyEndpoints(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"key":%q}`, minted) })
		h, e := realHouse(t, nil)
		p := u.policy()
		p.Hosts[0].KeyEndpoints = true
		h.keep("api_key", "acme", map[string]string{"service": "openrouter", "hosts": upstreamHost + ":" + strconv.Itoa(u.port)}, map[string]string{"key": acmeKey}, p)
		ask := func(path string) run.Result {
			return mustRun(t, e, run.Request{Actor: alice, Refs: []string{"acme"}, Command: []string{"sh", "-c", `curl -sS -H "Authorization: Bearer $OPENROUTER_API_KEY" ` + u.url(path)}, Timeout: 30 * time.Second})
		}
		if res := ask("/api/v1/keys"); u.count() != 0 || strings.Contains(res.Stdout, minted[9:]) || !strings.Contains(res.Stdout, "capture") {
			t.Fatalf("%d requests, %+v", u.count(), res)
		}
		if res := ask("/api/v1/models"); u.count() != 1 || strings.Contains(res.Stdout, minted[9:]) || res.Foreign != 1 {
			t.Fatalf("%d requests, %+v", u.count(), res)
		}
	})
}

// What changes between the look and the record is seen: a handle that was taken, a resource that may capture no more.
func TestACaptureIsPreparedAgain(t *testing.T) {
	h, tool := botHouse(t, `echo "token tok_`+minted+`_tail"`)
	k := newKeeper()
	e := newEngine(t, h, func(o *run.Options) { o.Keeper = k })
	r := request(tool)
	r.Capture = &capture.Spec{Handle: "bot_key", Fields: map[string]capture.Field{"value": {Pattern: `token (\S+)`}}}
	h.onStart = func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.taken["bot_key"] = true
	}
	if res, err := e.Run(t.Context(), r); fault.CodeOf(err) != fault.HandleTaken || res.Captured != nil || len(k.kept) != 0 {
		t.Errorf("%+v %v", res, err)
	}
	h.onStart = func() {
		h.edit("bot", func(r *vault.Resource) { r.Policy.MinLevel = policy.LevelOpen; r.Policy.Approval = "always" })
	}
	r.Capture.Handle = "second"
	mustRun(t, e, r)
	if n := k.last(t); n.Policy.Approval != "always" {
		t.Errorf("less guarded than what it came from: %+v", n.Policy)
	}
}
