package rotate

import (
	"context"
	"crypto/rand"
	"math/big"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Bounds of a generated value, in characters.
const (
	minGenerated = 16
	maxGenerated = 1024
)

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// generated makes the value of a generic resource: what a person or a pinned command then puts where it belongs. Nothing else knows where that is.
var _ = register(Method{
	Name:    "generated",
	Summary: "a random value of the length and alphabet asked for; nothing is installed anywhere",
	Rank:    10, Purges: true, Overlap: guidedOverlap,
	Serves: func(r vault.Resource, q Request) bool {
		_, has := r.Sealed["value"]
		return r.Kind == "generic" && has && q.Generate > 0
	},
	Steps: func(vault.Resource, Request) []string {
		return []string{"make a random value, and seal it", "the resource has it from then on", "the old value stays as a former version, and masked, until the overlap ends",
			"bring it to where it is used: a pinned command gets it", "when the overlap has ended, every version from before is removed from the vault"}
	},
	Make: func(_ context.Context, _ *Job, q Request) (map[string]secret.Secret, error) {
		v, err := random(q.Generate, q.Alphabet)
		if err != nil {
			return nil, err
		}
		return map[string]secret.Secret{"value": v}, nil
	},
})

// random makes a value of n characters of an alphabet, "" for letters and digits.
func random(n int, alphabet string) (secret.Secret, error) {
	if alphabet == "" {
		alphabet = alphanumeric
	}
	seen := map[byte]bool{}
	for i := range len(alphabet) {
		if c := alphabet[i]; c <= ' ' || c > '~' || seen[c] {
			return secret.Secret{}, fault.New(fault.InvalidArgument, "an alphabet has printable ASCII characters, each once", "")
		}
		seen[alphabet[i]] = true
	}
	if n < minGenerated || n > maxGenerated || len(alphabet) < 10 {
		return secret.Secret{}, fault.Newf(fault.InvalidArgument, "a generated value has %d to %d characters, of an alphabet of 10 or more", minGenerated, maxGenerated)
	}
	out := make([]byte, n)
	most := big.NewInt(int64(len(alphabet)))
	for i := range out {
		k, err := rand.Int(rand.Reader, most)
		if err != nil {
			return secret.Secret{}, err
		}
		out[i] = alphabet[k.Int64()]
	}
	return secret.New(out), nil
}
