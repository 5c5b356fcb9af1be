package main

// apart is what the clouds are linked into, and nothing else: to read those from source for each platform takes twice as long as all the rest.
const apart = "./cmd/zavhoz-sops"

// platforms are those that the house compiles for; a rule holds on each.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

// Rules are the tables. In patterns "./x" is a package of this module, "..." stands for anything (as in go list), and "./x/..." takes in x.
type Rules struct {
	Deny       []Deny
	Only       []Only
	Functions  []Function
	Secret     string   // import path of the package with the type Secret
	RevealList string   // file that lists who may call Secret.Reveal
	Printers   []string // functions (or "package.*") whose arguments end where people or models read
	Carriers   []string // packages whose functions give back what they were given, in another shape
	TestOnly   []string // packages that only tests and the development programs may link
	TestRooms  []string // packages that count as tests
	Folders    []string // top-level folders
	BadNames   []string // package names that say nothing
	MaxLines   int
	Words      []Word
	Exempt     []Exemption
}

// Deny says that no package of From (but those of Not) may reach one of To (but those of Except).
type Deny struct {
	From, Not  []string
	To, Except []string
	Direct     bool // only the import statement counts, not what it brings along
	Why        string
}

// Only says that nobody but By imports To.
type Only struct {
	To, By []string
	Why    string
}

// Function says that nobody but By uses the function Name ("./pkg.Func", "./pkg.(*T).Method", "pkg.T.Method").
type Function struct {
	Name string
	By   []string
	Why  string
}

// Word is a text that no file may hold; the last group of the pattern, if it has one, is what is reported.
type Word struct{ Pattern, Why string }

// Exemption takes files (path.Match patterns) out of the word check.
type Exemption struct{ File, Why string }

var doors = []string{"./mcp/...", "./tools/...", "./web/..."}

// house is the table of this repository: one row a rule, each with its reason.
var house = Rules{
	Deny: []Deny{
		{From: doors, To: []string{"./vault/open"}, Why: "wall 1: what a model or a page can reach may seal, never open"},
		{From: []string{"./mcp/..."}, To: []string{"./..."}, Except: []string{"./mcp/...", "./vault/fault", "./vault/id"}, Direct: true,
			Why: "mcp is the protocol: no domain, and no secret type, so that it cannot hold one"},
		{From: []string{"./vault/...", "./run/...", "./sync/..."}, To: append([]string{"./cmd/..."}, doors...), Why: "the domain knows no door"},
		{From: []string{"./store/..."}, To: []string{"./..."}, Except: []string{"./store/...", "./vault/fault"}, Why: "a store moves sealed bytes; it has no use for what they mean"},
		{From: []string{"./vault/secret", "./vault/fault", "./vault/id"}, To: []string{"./..."}, Why: "the lowest stones rest on nothing"},
		{From: []string{"./web/api"}, To: []string{"./run/...", "./store/...", "./sync/..."}, Why: "shapes of the API: a client links them"},
	},
	Only: []Only{
		{To: []string{"./vault/open"}, By: []string{"./run/...", "./sync/...", "./vault/rekey", "./vault/sops", "./vault/vaulttest", "./cmd/..."},
			Why: "the only package that opens what is sealed has a short list of callers"},
		{To: []string{"./vault/internal/keys"}, By: []string{"./vault/keyring", "./vault/open", "./vault/record", "./vault/audit", "./vault/rekey", "./vault/internal/..."},
			Why: "the ring of data keys stays with those who seal, open, authenticate and sign"},
		{To: []string{"github.com/getsops/sops/..."}, By: []string{"./cmd/zavhoz-sops"}, Why: "190 cloud packages have no business where the keys are"},
		{To: []string{"golang.org/x/tools/..."}, By: []string{"./cmd/internal/..."}, Why: "a development tool is no part of the product"},
		{To: []string{"os/exec"}, By: []string{"./run/...", "./cmd/...", "./vault/sops", "./...test"}, Why: "children start in one room, with an environment built from an allow-list; the SOPS helper gets none"},
	},
	Functions: []Function{
		{Name: "./vault/internal/keys.(*Ring).Open", By: []string{"./vault/open", "./vault/rekey"}, Why: "the keyring seals; one package opens"},
		{Name: "reflect.Value.MethodByName", Why: "a call by name hides a Reveal from the list of its callers"},
	},
	Secret:     "./vault/secret",
	RevealList: "testdata/lint/reveal.txt",
	Printers:   []string{"fmt.*", "log.*", "log/slog.*", "errors.*", "builtin.panic", "builtin.print", "builtin.println", "./vault/fault.*"},
	Carriers:   []string{"bytes", "strings", "strconv", "slices", "net/url", "html", "encoding/base32", "encoding/base64", "encoding/hex"},
	TestOnly: []string{"testing", "testing/...", "net/http/httptest", "./...test/...", "./cmd/internal/...", "github.com/rogpeppe/go-internal/testscript",
		"github.com/rogpeppe/go-internal/txtar", "github.com/mark3labs/mcp-go/mcptest", "github.com/mark3labs/mcp-go/server/servertest", "github.com/compose-spec/compose-go/...", "github.com/joho/godotenv"},
	TestRooms: []string{"./...test/...", "./cmd/internal/..."},
	Folders:   []string{".ci", "cmd", "mcp", "store", "vault", "sync", "tools", "run", "web", "docs", "examples", "deploy", "testdata"},
	BadNames:  []string{"util", "utils", "helper", "helpers", "common", "pkg", "misc", "base", "shared"},
	MaxLines:  400,
	Words: []Word{
		{`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`, "what is left undone is an issue, not a comment"},
		{`(?i)\bnot (?:yet )?impl` + `emented\b`, "a door that leads nowhere is not built"},
		{`(?:^|[^\w.~-])(/(?:wo` + `rk|ro` + `ot)/)`, "a path of somebody's machine"},
	},
	Exempt: []Exemption{
		{"cmd/internal/lint/testdata/*", "bad examples, on purpose"},
		{"go.sum", "written by the go command"},
	},
}
