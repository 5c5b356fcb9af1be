package time4vps

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// throttleError says that the provider asks to wait; do waits.
type throttleError struct{ wait time.Duration }

// Error is for the interface: do never lets one out.
func (*throttleError) Error() string { return "time4vps: throttled" }

func throttledFor(err error) (time.Duration, bool) {
	var t *throttleError
	if errors.As(err, &t) {
		return t.wait, true
	}
	return 0, false
}

// Bounds of a throttle's seconds: none would make a busy loop, more than a day is a shape that we do not know.
const (
	minThrottle = 1
	maxThrottle = 86_400
)

// complaint is the `error` of a reply, boiled down.
type complaint struct {
	any      bool // there is one
	login    bool
	ip       bool
	refused  bool // "unauthorized"
	notFound bool
	throttle bool
	wait     int // seconds; 0: the throttle's shape is unknown
}

// complain reads the `error` of a body: a text, or an array of texts and of arrays [name, number].
func complain(body []byte) complaint {
	var top struct {
		Error json.RawMessage `json:"error"`
	}
	if body = bytes.TrimLeft(body, " \t\r\n"); len(body) == 0 || body[0] != '{' || json.Unmarshal(body, &top) != nil {
		return complaint{}
	}
	if len(top.Error) == 0 || string(top.Error) == "null" {
		return complaint{}
	}
	c := complaint{any: true}
	var elements []json.RawMessage
	if json.Unmarshal(top.Error, &elements) != nil {
		elements = []json.RawMessage{top.Error}
	}
	for _, e := range elements {
		c.element(e)
	}
	return c
}

func (c *complaint) element(e json.RawMessage) {
	var word string
	if json.Unmarshal(e, &word) == nil {
		c.word(word, nil)
		return
	}
	var parts []json.RawMessage
	if json.Unmarshal(e, &parts) == nil && len(parts) > 0 && json.Unmarshal(parts[0], &word) == nil {
		c.word(word, parts[1:])
	}
}

func (c *complaint) word(word string, args []json.RawMessage) {
	switch word = strings.ToLower(strings.TrimSpace(word)); {
	case word == "wait_x_between_action":
		c.throttle = true
		if len(args) == 1 {
			c.wait = seconds(args[0])
		}
	case word == "wronglogin":
		c.login = true
	case word == "ipnotallowed":
		c.ip = true
	case word == "unauthorized":
		c.refused = true
	case strings.HasPrefix(word, "invalid ") && strings.HasSuffix(word, " id"):
		c.notFound = true
	}
}

// seconds reads a throttle's number, also in quotes; 0 for a shape that is not known.
func seconds(raw json.RawMessage) int {
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil || n < 0 || n > maxThrottle {
		return 0
	}
	return max(n, minThrottle)
}

// classify turns a reply into a fault, nil when it is an answer. The body decides; the status counts only where the body says nothing: the provider
// gives 401 for a wrong password, a foreign address and a throttle alike.
func classify(status int, body []byte) error {
	switch c := complain(body); {
	case c.throttle && c.wait > 0:
		return &throttleError{time.Duration(c.wait) * time.Second}
	case c.throttle:
		return replyFault(nil)
	case c.ip:
		return fault.New(fault.ProviderIPDenied, "the provider does not accept calls from this machine's address",
			"add this machine's public IP address to the API allow-list in the provider's panel; check that before the login")
	case c.login || c.refused:
		return loginFault()
	case c.notFound:
		return notFoundFault()
	case c.any && status < 500 && status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusNotFound:
		return replyFault(nil)
	}
	return byStatus(status)
}

func byStatus(status int) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return loginFault()
	case status == http.StatusNotFound:
		return notFoundFault()
	case status == http.StatusTooManyRequests:
		return fault.New(fault.ProviderThrottled, "the provider asks for fewer calls", "wait a minute, then try again")
	case status >= 500:
		return unavailable(nil).With("http_status", status)
	}
	return replyFault(nil).With("http_status", status)
}

func loginFault() *fault.Error {
	return fault.New(fault.ProviderLogin, "the provider refuses the login",
		"check that this machine's address is on the provider's API allow-list, then the username and password of the resource with the login")
}

func notFoundFault() *fault.Error {
	return fault.New(fault.ProviderReply, "the provider knows no such server, service or task", "").Because(ErrNotFound)
}

func unavailable(cause error) *fault.Error {
	return fault.New(fault.ProviderUnavailable, "the provider cannot be reached or does not answer", "what is known of its servers stays as it was; try again later").Because(cause)
}

func replyFault(cause error) *fault.Error {
	return fault.New(fault.ProviderReply, "the provider's reply is not what its documentation says", "try again later; if it stays, zavhoz needs an update").Because(cause)
}

func timeUp(cause error) *fault.Error {
	return fault.New(fault.TimedOut, "the provider did not finish in the time given", "try again later").Because(cause)
}

func contextFault(err error) *fault.Error {
	if errors.Is(err, context.Canceled) {
		return fault.New(fault.Canceled, "the call to the provider was cancelled", "").Because(err)
	}
	return timeUp(err)
}

// exchangeFault says what a failed exchange means. ctx is the caller's: its end is not the provider's fault.
func exchangeFault(ctx context.Context, err error) error {
	var cert *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return contextFault(ctx.Err())
	case errors.Is(err, errRedirect):
		return fault.New(fault.ProviderReply, "the provider redirects to another place, where its login must not go", "check base_url in the configuration").Because(err)
	case errors.Is(err, errTooLarge):
		return fault.New(fault.ProviderReply, "the provider's reply is larger than its cap, so none of it was used", "").Because(err)
	case errors.As(err, &cert):
		return fault.New(fault.ProviderUnavailable, "the provider's certificate is not trusted, so nothing was sent", "check base_url and this machine's clock and certificates").Because(err)
	}
	return unavailable(err)
}
