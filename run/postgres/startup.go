package postgres

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Bounds of what a child says before it is known, in bytes. The first is PostgreSQL's own.
const (
	maxStartup  = 10000
	maxPassword = 1024
)

// Codes of the first packet; what else begins with 3 is a version.
const (
	cancelCode = 80877102
	sslCode    = 80877103
	gssCode    = 80877104
	major      = 3
)

// readPacket reads a packet of the time before messages have types: its length, a code, the rest.
func readPacket(r io.Reader) (code uint32, rest []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 8 || n > maxStartup {
		return 0, nil, errStartup
	}
	rest = make([]byte, n-8)
	_, err = io.ReadFull(r, rest)
	return binary.BigEndian.Uint32(head[4:]), rest, err
}

// start is what a child asks for.
type start struct {
	minor          uint16            // of the protocol's version 3
	user, database string            // database is empty if the child named none
	params         map[string]string // settings; names in lower case, all of them allowed
	unknown        []string          // protocol options that we do not speak, as sent
}

// parseStart reads a StartupMessage: what it does not know is refused, for what a setting does is the server's business, and which may be set is ours.
func parseStart(code uint32, body []byte) (*start, *refusal) {
	if code>>16 != major {
		return nil, refuse(stateUnsupported, fault.NotSupported, "this is not version 3 of PostgreSQL's protocol", "use a current client")
	}
	s := &start{minor: uint16(code), params: map[string]string{}}
	pairs, ok := splitPairs(body)
	if !ok {
		return nil, refuse(stateProtocol, fault.InvalidArgument, "the first message is not PostgreSQL's", "use a PostgreSQL client")
	}
	fromOptions := map[string]string{}
	seen := map[string]bool{}
	for _, p := range pairs {
		name, value := strings.ToLower(p[0]), p[1]
		if seen[name] {
			return nil, refuse(stateProtocol, fault.InvalidArgument, "a parameter of the connection is there twice", "give it once")
		}
		seen[name] = true
		switch {
		case p[0] == "user":
			s.user = value
		case p[0] == "database":
			s.database = value
		case strings.HasPrefix(p[0], "_pq_."):
			s.unknown = append(s.unknown, p[0])
		case p[0] == "options":
			if ok := readOptions(value, fromOptions); !ok {
				return nil, refuse(stateParameter, fault.InvalidArgument, "in the parameter options only `-c NAME=VALUE` is allowed", "SET what is needed once connected")
			}
		case name == "replication":
			return nil, refuse(stateUnsupported, fault.NotSupported, "replication is not served: it would copy the whole server", "use COPY or pg_dump")
		default:
			s.params[name] = value
		}
	}
	return s.check(fromOptions)
}

// check joins the settings, and holds them to the list.
func (s *start) check(fromOptions map[string]string) (*start, *refusal) {
	for name, value := range fromOptions {
		if _, there := s.params[name]; !there { // as the server has it: what is said outright counts
			s.params[name] = value
		}
	}
	for name := range s.params {
		if !allowedSetting(name) {
			return nil, refuse(stateParameter, fault.NotPermitted, "the connection sets a parameter that is not on the list",
				"leave it out of the URL and SET it once connected; allowed at the start: "+strings.Join(settings, ", "))
		}
	}
	if s.user == "" {
		return nil, refuse(stateLogin, fault.InvalidArgument, "the connection names no user", "use the URL of the resource's variable as it is")
	}
	return s, nil
}

// splitPairs reads name, value, …, each ended by a zero, and a zero at the end.
func splitPairs(body []byte) (pairs [][2]string, ok bool) {
	for len(body) > 0 && body[0] != 0 {
		name, rest, ok := bytes.Cut(body, []byte{0})
		if !ok {
			return nil, false
		}
		value, rest, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, false
		}
		pairs = append(pairs, [2]string{string(name), string(value)})
		body = rest
	}
	return pairs, len(body) == 1
}

// settings are what a connection may set at its start. None of them widens what it may do: the child may SET each of them, and more, once connected. What can
// be set only here (replication, debugging aids of superusers) is not among them.
var settings = []string{
	"application_name", "bytea_output", "client_encoding", "client_min_messages", "datestyle", "default_transaction_deferrable", "default_transaction_isolation",
	"default_transaction_read_only", "extra_float_digits", "geqo", "idle_in_transaction_session_timeout", "idle_session_timeout", "intervalstyle", "jit", "lock_timeout",
	"plan_cache_mode", "search_path", "standard_conforming_strings", "statement_timeout", "timezone", "transaction_timeout",
}

func allowedSetting(name string) bool { return slices.Contains(settings, strings.ToLower(name)) }

// readOptions reads the server's command line as libpq passes it on: words by blanks, a backslash before what belongs to a word.
func readOptions(text string, into map[string]string) bool {
	words := splitWords(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c":
			if i++; i == len(words) {
				return false
			}
			w = words[i]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		default:
			return false
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok || name == "" {
			return false
		}
		into[strings.ToLower(strings.ReplaceAll(name, "-", "_"))] = value
	}
	return true
}

func splitWords(text string) (words []string) {
	var word []byte
	in, escaped := false, false
	for i := range len(text) {
		c := text[i]
		switch {
		case escaped:
			word, escaped = append(word, c), false
		case c == '\\':
			in, escaped = true, true
		case c == ' ' || (c >= '\t' && c <= '\r'):
			if in {
				words = append(words, string(word))
			}
			word, in = nil, false
		default:
			word, in = append(word, c), true
		}
	}
	if in {
		words = append(words, string(word))
	}
	return words
}
