package rotate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// cloudflareAPI is Cloudflare's, version 4.
const cloudflareAPI = "https://api.cloudflare.com/client/v4"

// noteName is what the new token is called at Cloudflare, on record before it is made; noteID and noteOldID are what the tokens are known by there.
const (
	noteName  = "token_name"
	noteID    = "token_id"
	noteOldID = "old_token_id"
)

// cloudflareToken makes a second token with the same rights, and deletes the first. The service's own way (roll: PUT /user/tokens/{id}/value) ends the old value in
// the moment that it makes the new one, and tells the new one once, in that reply: a stop in between would lose both.
var _ = register(Method{
	Name:    "cloudflare_token",
	Summary: "a second API token with the same rights, made by the first, which is deleted by the second",
	Rank:    20,
	Serves:  func(r vault.Resource, _ Request) bool { return r.Kind == "domain" },
	Steps: func(vault.Resource, Request) []string {
		return []string{"read the token's own rights at Cloudflare (it needs the right to edit API tokens)", "make a token with the same rights, and seal it", "Cloudflare verifies the new token",
			"the resource has it from then on", "when the overlap has ended, delete the old token by the new one"}
	},
	Notes: func(context.Context, *Job, Request) (map[string]string, error) {
		var b [6]byte
		_, err := rand.Read(b[:])
		return map[string]string{noteName: "zavhoz " + hex.EncodeToString(b[:])}, err
	},
	Create: createToken,
	Prove:  func(ctx context.Context, j *Job) error { return j.verified(ctx, j.New) },
	Works:  func(ctx context.Context, j *Job) error { return j.verified(ctx, j.Old) },
	Retire: func(ctx context.Context, j *Job) error { return j.deleteToken(ctx, j.New, j.Rotation.Notes[noteOldID]) },
	Undo:   undoToken,
})

// cfToken is a token as Cloudflare describes it. What it may do is passed on as it came.
type cfToken struct {
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name"`
	Status    string          `json:"status,omitempty"`
	Policies  json.RawMessage `json:"policies,omitempty"`
	Condition json.RawMessage `json:"condition,omitempty"`
	NotBefore string          `json:"not_before,omitempty"`
	ExpiresOn string          `json:"expires_on,omitempty"`
	Value     *cfValue        `json:"value,omitempty"`
}

// cfValue takes a value out of a reply as a secret.
type cfValue struct{ secret.Secret }

// UnmarshalJSON takes a string.
func (v *cfValue) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errDefect
	}
	v.Secret = secret.FromString(s)
	return nil
}

// ask calls the API with a token. result may be nil.
func (j *Job) ask(ctx context.Context, by func(string) (secret.Secret, error), method, where string, in, result any) error {
	token, err := by("token")
	if err != nil {
		return err
	}
	defer token.Wipe()
	if token.IsZero() {
		return fault.New(fault.SecretMissing, j.Resource.Handle+": the token is no longer in the vault", "`zavhoz resource rotate "+j.Resource.Handle+" --resume` ends the rotation")
	}
	reply := struct {
		Success bool `json:"success"`
		Result  any  `json:"result"`
	}{Result: result}
	status, err := j.call(ctx, method, cloudflareAPI+where, http.Header{"Authorization": {"Bearer " + string(token.Reveal())}}, in, &reply)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound && method == http.MethodDelete:
		return nil // gone already
	case status >= 300:
		return j.refused(status)
	case !reply.Success:
		return j.unread()
	}
	return nil
}

// self tells which token it is that asks; Cloudflare answers for one that works only.
func (j *Job) self(ctx context.Context, by func(string) (secret.Secret, error)) (string, error) {
	var t cfToken
	if err := j.ask(ctx, by, http.MethodGet, "/user/tokens/verify", nil, &t); err != nil {
		return "", err
	}
	if t.Status != "active" || t.ID == "" {
		return "", fault.New(fault.RemoteAuthFailed, j.Resource.Handle+": the token is not active at the service", "a person checks it there")
	}
	return t.ID, nil
}

func (j *Job) verified(ctx context.Context, by func(string) (secret.Secret, error)) error {
	_, err := j.self(ctx, by)
	return err
}

// createToken makes the second token by the first.
func createToken(ctx context.Context, j *Job) (map[string]secret.Secret, map[string]string, error) {
	old, err := j.self(ctx, j.Old)
	if err != nil {
		return nil, nil, err
	}
	if err := j.deleteNamed(ctx); err != nil { // of a try whose reply nobody has read
		return nil, nil, err
	}
	var t cfToken
	if err := j.ask(ctx, j.Old, http.MethodGet, "/user/tokens/"+url.PathEscape(old), nil, &t); err != nil {
		return nil, nil, err
	}
	fresh := cfToken{Name: j.Rotation.Notes[noteName], Policies: t.Policies, Condition: t.Condition, NotBefore: t.NotBefore, ExpiresOn: t.ExpiresOn}
	var made cfToken
	if err := j.ask(ctx, j.Old, http.MethodPost, "/user/tokens", fresh, &made); err != nil {
		return nil, nil, err
	}
	if made.Value == nil || made.Value.IsZero() || made.ID == "" {
		return nil, nil, j.unread()
	}
	return map[string]secret.Secret{"token": made.Value.Secret}, map[string]string{noteID: made.ID, noteOldID: old}, nil
}

// tokensPage is how many tokens are read at once; maxPages bounds a service that never ends.
const (
	tokensPage = 50
	maxPages   = 100
)

// deleteNamed deletes the tokens that have the name of this rotation.
func (j *Job) deleteNamed(ctx context.Context) error {
	for page := 1; page <= maxPages; page++ {
		var some []cfToken
		if err := j.ask(ctx, j.Old, http.MethodGet, fmt.Sprintf("/user/tokens?per_page=%d&page=%d", tokensPage, page), nil, &some); err != nil {
			return err
		}
		for _, t := range some {
			if t.Name == j.Rotation.Notes[noteName] {
				return j.deleteToken(ctx, j.Old, t.ID) // there is one at most: each try begins with this
			}
		}
		if len(some) < tokensPage {
			return nil
		}
	}
	return j.unread()
}

func (j *Job) deleteToken(ctx context.Context, by func(string) (secret.Secret, error), id string) error {
	if id == "" {
		return errDefect
	}
	return j.ask(ctx, by, http.MethodDelete, "/user/tokens/"+url.PathEscape(id), nil, nil)
}

// undoToken deletes the new token, or what a try before left.
func undoToken(ctx context.Context, j *Job) error {
	if id := j.Rotation.Notes[noteID]; id != "" {
		return j.deleteToken(ctx, j.Old, id)
	}
	return j.deleteNamed(ctx)
}
