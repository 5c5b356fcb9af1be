package rotate

import (
	"bytes"
	"context"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// telegramAPI is where bots are asked who they are.
const telegramAPI = "https://api.telegram.org"

// telegramToken: only BotFather makes a token, in a chat with a person. What a person gives is tried, and must be the same bot's.
var _ = register(Method{
	Name:    "telegram_token",
	Summary: "a person has @BotFather make a new token, which ends the old one; the new one is tried by getMe",
	Rank:    20, Guided: true, Purges: true,
	Serves: func(r vault.Resource, _ Request) bool { return r.Kind == "telegram_bot" },
	Steps: func(vault.Resource, Request) []string {
		return []string{"send /revoke to @BotFather and choose the bot: it makes a new token, and the old one ends", "give the new token: it is sealed", "getMe tells that it works, and is the same bot's",
			"the resource has it from then on", "every version from before is removed from the vault"}
	},
	Prove: sameBot,
})

// sameBot asks Telegram who the new token is.
func sameBot(ctx context.Context, j *Job) error {
	token, err := j.New("token")
	if err != nil {
		return err
	}
	defer token.Wipe()
	other := fault.New(fault.SecretInvalid, j.Resource.Handle+": the new token is another bot's", "--abort, and give the token of this bot").With("field", "token")
	old, err := j.Old("token")
	if err != nil {
		return err
	}
	defer old.Wipe()
	if !old.IsZero() && subtle.ConstantTimeCompare(botNumber(old), botNumber(token)) != 1 {
		return other
	}
	var reply struct {
		OK     bool `json:"ok"`
		Result struct {
			Username string `json:"username"`
		} `json:"result"`
	}
	status, err := j.call(ctx, http.MethodGet, telegramAPI+"/bot"+string(token.Reveal())+"/getMe", http.Header{}, nil, &reply)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return j.refused(status)
	case !reply.OK:
		return j.unread()
	}
	if want := strings.TrimPrefix(j.Resource.Attrs["username"], "@"); want != "" && !strings.EqualFold(want, reply.Result.Username) {
		return other
	}
	return nil
}

// botNumber is what a token begins with, and every token of one bot does.
func botNumber(token secret.Secret) []byte {
	number, _, _ := bytes.Cut(token.Reveal(), []byte(":"))
	return number
}
