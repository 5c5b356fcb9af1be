package rotate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// serviceNamed starts a TLS server of our own in the place of a host, and has the house reach it. Its certificate is for that name, and is verified.
func (h *house) serviceNamed(host string, handler http.Handler) policy.Policy {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(h.t, err)
	shape := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, key.Public(), key)
	must(h.t, err)
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	h.t.Cleanup(s.Close)
	h.dial = func(vault.Resource) (Dial, error) {
		return func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr != host+":443" {
				h.t.Errorf("%s was dialled", addr)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.Listener.Addr().String())
		}, nil
	}
	h.r.o.Dialer = h.dial
	return policy.Policy{UpstreamCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

const (
	firstBot  = "7000000001:AAfirst-canary-token-of-the-weather-bot"
	secondBot = "7000000001:AAsecond-canary-token-of-the-weather-bo"
	otherBot  = "7000000002:AAother-canary-token-of-another-bot-xx"
)

func TestATelegramTokenIsTriedBeforeItIsTaken(t *testing.T) {
	h := newHouse(t)
	username := "weather_bot"
	p := h.serviceNamed("api.telegram.org", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bot" + secondBot + "/getMe":
			_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": map[string]any{"id": 7000000001, "username": username}})
		default:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"ok":false,"description":"`+r.URL.Path+`"}`)
		}
	}))
	h.add(vault.NewResource{Kind: "telegram_bot", Handle: "bot", Attrs: map[string]string{"username": "@weather_bot"}, Policy: p, Secrets: map[string]secret.Secret{"token": secret.FromString(firstBot)}})
	begin := func(token string) error {
		_, err := h.r.Start(t.Context(), operator, "bot", Request{Secrets: map[string]secret.Secret{"token": secret.FromString(token)}})
		return err
	}
	for token, code := range map[string]fault.Code{otherBot: fault.SecretInvalid, firstBot[:20] + "-canary-that-nobody-made": fault.RemoteAuthFailed} {
		err := begin(token)
		wantCode(t, err, code)
		if strings.Contains(err.Error(), "canary") || h.value("bot", "token") != firstBot {
			t.Errorf("%v", err)
		}
		_, err = h.r.Abort(t.Context(), operator, "bot")
		must(t, err)
	}
	username = "another_bot"
	wantCode(t, begin(secondBot), fault.SecretInvalid)
	username = "weather_bot"
	state, err := h.r.Resume(t.Context(), operator, "bot")
	must(t, err)
	if state.Ended != "done" || h.value("bot", "token") != secondBot || strings.Contains(h.known(), firstBot) {
		t.Errorf("%+v", state)
	}
}

// cloudflare is a server that keeps tokens as the API's description says.
type cloudflare struct {
	t      testing.TB
	mu     sync.Mutex
	tokens map[string]map[string]any // by value
	next   int
	down   map[string]bool // "POST": answered by nothing, once it is done
}

func (c *cloudflare) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, t := range c.tokens {
		out = append(out, t["name"].(string))
	}
	slices.Sort(out)
	return out
}

func (c *cloudflare) has(value string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tokens[value] != nil
}

// ServeHTTP answers.
func (c *cloudflare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	me := c.tokens[bearer]
	if me == nil {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"success":false,"errors":[{"message":"`+bearer+`"}]}`)
		return
	}
	var result any
	where, ok := strings.CutPrefix(r.URL.Path, "/client/v4/user/tokens")
	id := strings.TrimPrefix(where, "/")
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method == "GET" && where == "/verify":
		result = map[string]any{"id": me["id"], "status": "active"}
	case r.Method == "GET" && where == "":
		result = slices.Collect(maps.Values(c.tokens))
	case r.Method == "GET":
		result = c.byID(id)
	case r.Method == "DELETE":
		maps.DeleteFunc(c.tokens, func(_ string, t map[string]any) bool { return t["id"] == id })
		result = map[string]any{"id": id}
	case r.Method == "POST" && where == "":
		var t map[string]any
		if err := json.NewDecoder(r.Body).Decode(&t); err != nil || t["policies"] == nil {
			c.t.Errorf("%v: no rights are asked for: %v", err, t)
		}
		c.next++
		value := "canary_token_number_" + strings.Repeat(string(rune('a'+c.next)), 20)
		t["id"] = strings.Repeat(string(rune('0'+c.next)), 32)
		c.tokens[value] = t
		made := maps.Clone(t)
		made["value"] = value
		result = made
	}
	if c.down[r.Method] {
		panic(http.ErrAbortHandler) // it was done, and nobody hears of it
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "result": result})
}

func (c *cloudflare) byID(id string) map[string]any {
	for _, t := range c.tokens {
		if t["id"] == id {
			return t
		}
	}
	return map[string]any{}
}

const firstToken = "canary_token_number_aaaaaaaaaaaaaaaaaaaa"

func newCloudflare(t testing.TB) *cloudflare {
	return &cloudflare{t: t, down: map[string]bool{}, tokens: map[string]map[string]any{
		firstToken: {"id": strings.Repeat("0", 32), "name": "by hand", "policies": []any{map[string]any{"effect": "allow", "permission_groups": []any{map[string]any{"id": "dns"}}}}},
	}}
}

func (h *house) addDomain(p policy.Policy) {
	h.add(vault.NewResource{Kind: "domain", Handle: "zone", Attrs: map[string]string{"zone": "example.org"}, Policy: p, Secrets: map[string]secret.Secret{"token": secret.FromString(firstToken)}})
}

// A reply that is lost leaves a token that nobody holds; the next try takes it away, and at the end there is one token, the resource's.
func TestACloudflareTokenMakesItsSuccessor(t *testing.T) {
	c, h := newCloudflare(t), newHouse(t)
	h.addDomain(h.serviceNamed("api.cloudflare.com", c))
	c.down["POST"] = true
	_, err := h.r.Start(t.Context(), operator, "zone", Request{})
	wantCode(t, err, fault.ConnectionFailed)
	if x := h.rotation("zone"); x == nil || x.Step != vault.RotationBegun || len(c.names()) != 2 || h.value("zone", "token") != firstToken {
		t.Fatalf("%+v, %v", x, c.names())
	}
	c.down["POST"] = false
	state, err := h.r.Resume(t.Context(), operator, "zone")
	must(t, err)
	now := h.value("zone", "token")
	if state.Ended != "done" || now == firstToken || !c.has(now) || len(c.names()) != 1 {
		t.Errorf("%+v, %v", state, c.names())
	}
}

func TestAStoppedExchangeOfATokenGoesOnAndBack(t *testing.T) {
	for _, point := range []string{"made", "create", "install", "installed", "prove", "proven", "switched", "retire"} {
		for _, way := range []string{"resume", "abort"} {
			t.Run(point+" "+way, func(t *testing.T) {
				c, h := newCloudflare(t), newHouse(t)
				h.addDomain(h.serviceNamed("api.cloudflare.com", c))
				if !h.stopAt(point, func() error { _, err := h.r.Start(t.Context(), operator, "zone", Request{}); return err }) {
					t.Fatal("it does not come there")
				}
				if !c.has(h.value("zone", "token")) {
					t.Fatal("what the resource has is not taken")
				}
				if way == "abort" && point == "retire" {
					_, err := h.r.Abort(t.Context(), operator, "zone")
					wantCode(t, err, fault.RemoteAuthFailed)
					way = "resume"
				}
				var err error
				if way == "resume" {
					_, err = h.r.Resume(t.Context(), operator, "zone")
				} else {
					_, err = h.r.Abort(t.Context(), operator, "zone")
				}
				must(t, err)
				if now := h.value("zone", "token"); !c.has(now) || len(c.names()) != 1 || (now == firstToken) != (way == "abort") || h.rotation("zone") != nil {
					t.Errorf("there are %v", c.names())
				}
			})
		}
	}
}
