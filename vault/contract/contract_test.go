package contract_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/fault"
)

var update = flag.Bool("update", false, "rewrite golden files")

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fragments(t *testing.T) []contract.Fragment {
	t.Helper()
	var out []contract.Fragment
	for _, name := range []string{"backend.env.contract.yaml", "bot.env.contract.yaml"} {
		f, err := contract.Parse(name, read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// The canonical form is what a digest, and so a handle, is made of: it never changes.
func TestGoldenCanonical(t *testing.T) {
	c, err := contract.Merge(fragments(t)...)
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../testdata/formats/env_contract.golden"
	made := string(c.Canonical()) + "\n" + c.Digest() + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if made != string(want) {
		t.Errorf("the canonical form is now\n%s", made)
	}
}

func TestMergeDoesNotDependOnOrder(t *testing.T) {
	fs := fragments(t)
	a, err := contract.Merge(fs[0], fs[1])
	if err != nil {
		t.Fatal(err)
	}
	b, err := contract.Merge(fs[1], fs[0], fs[1])
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Canonical()) != string(b.Canonical()) {
		t.Errorf("\n%s\n%s", a.Canonical(), b.Canonical())
	}
	if got := a.For("staging").Names(); !slices.Equal(got, []string{"POSTGRES_PASSWORD", "WORKERS"}) {
		t.Errorf("staging has %v", got)
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	c, err := contract.Merge(fragments(t)...)
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Entries["STRIPE_SECRET"]; !e.Required || !e.Sensitive || strings.Contains(e.Description, "\n") || !strings.HasPrefix(e.Description, "The secret key of the shop's Stripe account, from") {
		t.Errorf("%+v", e)
	}
	if e := c.Entries["POSTGRES_PASSWORD"]; e.Form != contract.URLSafe || !slices.Equal(e.Consumers, []string{"backend", "postgres"}) {
		t.Errorf("%+v", e)
	}
	if c.Entries["DEBUG"].Value != "false" || c.Entries["WORKERS"].Value != "4" || c.Entries["GREETING"].Value != "<hi> & $5" {
		t.Error("literals")
	}
}

// entry wraps the lines of one entry named A.
func entry(lines ...string) string {
	return "version: \"1\"\nowner: o\nentries:\n  A:\n    " + strings.Join(lines, "\n    ") + "\n"
}

const canary = "canary5f21c0de"

func TestParseRefuses(t *testing.T) {
	literal := func(value string) string {
		return entry("source: literal", "environments: [production]", "value: "+value)
	}
	head := "version: \"1\"\nowner: o\nentries:\n  "
	for name, c := range map[string]struct{ text, why string }{
		"empty":                {"", "not YAML, or empty"},
		"null":                 {"~", "a mapping"},
		"list":                 {"[" + canary + "]", "a mapping"},
		"not yaml":             {"a: [" + canary, "not YAML"},
		"two documents":        {literal("x") + "---\n" + literal("y"), "more than one"},
		"bom":                  {"\ufeff" + literal("x"), "plain UTF-8"},
		"utf-16":               {"\xff\xfev\x00", "plain UTF-8"},
		"control":              {literal("\"a\x01\""), "plain UTF-8"},
		"turned":               {literal("\"a\u202eb\""), "plain UTF-8"},
		"anchor":               {literal("&x y"), "anchors"},
		"alias":                {"version: &v \"1\"\nowner: *v\nentries: {}", "anchors"},
		"merge key":            {head + "A: {<<: {source: literal}, environments: [production]}", "a plain text"},
		"bomb":                 {"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "anchors"},
		"tag":                  {literal("!!binary aGk="), "tags"},
		"own tag":              {literal("!x y"), "tags"},
		"deep":                 {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "deep"},
		"deeper":               {strings.Repeat("[", 50000), "not YAML"},
		"large":                {literal("x") + strings.Repeat("# "+canary+"\n", 20000), "larger than"},
		"version number":       {strings.Replace(literal("x"), `"1"`, "1", 1), `version is "1"`},
		"version 2":            {strings.Replace(literal("x"), `"1"`, `"2"`, 1), `version is "1"`},
		"no version":           {"owner: o\nentries: {}", "is missing"},
		"no owner":             {"version: \"1\"\nentries: {}", "owner is missing"},
		"no entries":           {"version: \"1\"\nowner: o\n", "entries is missing"},
		"unknown":              {literal("x") + canary + ": 1\n", "unknown field"},
		"unknown of entry":     {entry("source: literal", "environments: [production]", "value: x", canary+": 1"), "unknown field"},
		"twice":                {head + "A: {source: literal, environments: [production], value: x}\n  A: {source: literal, environments: [production], value: " + canary + "}", "twice"},
		"field twice":          {entry("source: literal", "source: derived", "environments: [production]", "value: x"), "twice"},
		"number as key":        {head + "1: {source: literal}", "a plain text"},
		"lower case":           {head + "path: {source: literal, environments: [production], value: x}", "has capitals"},
		"injected":             {head + "\"A=1\\nB\": {source: literal, environments: [production], value: x}", "has capitals"},
		"steers a loader":      {head + "LD_PRELOAD: {source: literal, environments: [production], value: /x}", "steers"},
		"steers a shell":       {head + "BASH_ENV: {source: literal, environments: [production], value: /x}", "steers"},
		"steers a proxy":       {head + "HTTPS_PROXY: {source: literal, environments: [production], value: x}", "steers"},
		"steers a tool":        {head + "ERL_AFLAGS: {source: literal, environments: [production], value: x}", "steers"},
		"steers trust":         {head + "PIP_CERT: {source: literal, environments: [production], value: x}", "steers"},
		"steers zavhoz":        {head + "ZAVHOZ_AGENT_TOKEN: {source: literal, environments: [production], value: x}", "steers"},
		"source":               {entry("source: magic", "environments: [production]"), "source is one of"},
		"no source":            {entry("environments: [production]"), "source is one of"},
		"no environments":      {entry("source: literal", "value: x"), "environments names"},
		"empty environments":   {entry("source: literal", "environments: []", "value: x"), "environments names"},
		"environment twice":    {entry("source: literal", "environments: [production, production]", "value: x"), "the same twice"},
		"bad environment":      {entry("source: literal", "environments: [\"Pro duction\"]", "value: x"), "lower-case"},
		"no description":       {entry("source: user_secret", "environments: [production]", "consumers: [a]"), "description"},
		"no consumers":         {entry("source: user_secret", "environments: [production]", "description: x"), "consumer"},
		"not sensitive":        {entry("source: user_secret", "environments: [production]", "description: x", "consumers: [a]", "sensitive: false"), "is sensitive"},
		"generated, public":    {entry("source: generated_secret", "environments: [production]", "sensitive: false"), "is sensitive"},
		"form":                 {entry("source: generated_secret", "environments: [production]", "form: rot13"), "form is one of"},
		"value of secret":      {entry("source: user_secret", "environments: [production]", "description: x", "consumers: [a]", "value: "+canary), "does not belong"},
		"sensitive literal":    {entry("source: literal", "environments: [production]", "value: x", "sensitive: true"), "cannot be sensitive"},
		"no value":             {entry("source: literal", "environments: [production]"), "has a value"},
		"neither":              {entry("source: allocation", "environments: [production]"), "a service or a resource"},
		"both":                 {entry("source: allocation", "environments: [production]", "service: a", "resource: b"), "a service or a resource"},
		"no attribute":         {entry("source: allocation", "environments: [production]", "resource: b"), "the attribute"},
		"bad service":          {entry("source: allocation", "environments: [production]", "service: ../x"), "service is a name"},
		"template":             {entry("source: derived", "environments: [production]", "template: $HOME"), "a template is"},
		"open template":        {entry("source: derived", "environments: [production]", "template: \"${A\""), "a template is"},
		"command":              {entry("source: derived", "environments: [production]", "template: $(id)"), "a template is"},
		"steering reference":   {entry("source: derived", "environments: [production]", "template: \"${PATH}\""), "a template is"},
		"unknown fact":         {entry("source: derived", "environments: [production]", "template: \"${@home}\""), "a template is"},
		"unknown way":          {entry("source: derived", "environments: [production]", "template: \"${B:raw}\""), "a template is"},
		"yes":                  {literal("yes"), "quote it"},
		"Norway":               {literal("no"), "quote it"},
		"True":                 {literal("True"), "quote it"},
		"null value":           {literal("null"), "quote it"},
		"no value at all":      {literal(""), "quote it"},
		"octal":                {literal("010"), "quote it"},
		"hex":                  {literal("0x1F"), "quote it"},
		"underscores":          {literal("1_000"), "quote it"},
		"exponent":             {literal("1e3"), "quote it"},
		"date":                 {literal("2026-01-01"), "quote it"},
		"infinity":             {literal(".inf"), "quote it"},
		"list value":           {literal("[1]"), "is a text"},
		"long value":           {literal(strings.Repeat("x", 9000)), "longer than"},
		"bot token":            {literal(`"7123456789:AAF` + strings.Repeat("a", 32) + `"`), "stands in the repository: make it"},
		"stripe key":           {literal("sk_live_51" + strings.Repeat("Ab3", 10)), "stands in the repository: make it"},
		"database login":       {literal("postgresql://app:" + canary + "@db:5432/app"), "stands in the repository: make it"},
		"private key":          {entry("source: literal", "environments: [production]", "value: |", "  -----BEGIN RSA PRIVATE KEY-----", "  "+canary), "stands in the repository: make it"},
		"password in template": {entry("source: derived", "environments: [production]", "template: \"amqp://u:"+canary+"@mq/${@slug}\""), "stands in the repository: make it"},
		"token in description": {entry("source: literal", "environments: [production]", "value: x", "description: like sk-ant-api03-"+strings.Repeat("Ab3", 30)), "stands in the repository: make it"},
		"required maybe":       {entry("source: literal", "environments: [production]", "value: x", "required: yes"), "true or false"},
		"long description":     {entry("source: literal", "environments: [production]", "value: x", "description: "+strings.Repeat("d", 501)), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := contract.Parse("f", []byte(c.text))
			if err == nil {
				t.Fatal("it is taken")
			}
			if !errors.Is(err, contract.ErrInvalid) || fault.CodeOf(err) != fault.InvalidArgument || fault.Of(err).Details["outcome"] != contract.Outcome {
				t.Errorf("%v", err)
			}
			if !strings.Contains(err.Error(), c.why) {
				t.Errorf("refused, but not for %q: %v", c.why, err)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the refusal repeats a value: %v", err)
			}
		})
	}
}

func TestTakenLiterals(t *testing.T) {
	for text, want := range map[string]string{`"no"`: "no", `'010'`: "010", "0": "0", "-12": "-12", "1.50": "1.50", "true": "true", "plain text": "plain text", `""`: "", "redis://redis:6379/0": "redis://redis:6379/0", `"a\nb"`: "a\nb", "postgresql://db:5432/app": "postgresql://db:5432/app"} {
		f, err := contract.Parse("", []byte(entry("source: literal", "environments: [production]", "value: "+text)))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := f.Entries["A"].Value; got != want {
			t.Errorf("%s is read as %q", text, got)
		}
	}
}

// Each refusal is told, up to a bound.
func TestProblemsAreToldTogether(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: \"1\"\nowner: o\nentries:\n")
	for i := range 30 {
		b.WriteString("  A" + strings.Repeat("B", i) + ": {source: magic, environments: [production]}\n")
	}
	_, err := contract.Parse("backend", []byte(b.String()))
	list, _ := fault.Of(err).Details["problems"].([]string)
	if len(list) != 20 || !strings.Contains(err.Error(), "and 10 more") || !strings.HasPrefix(list[3], "backend: line 7: ABBB: source is") {
		t.Errorf("%d problems: %v", len(list), err)
	}
}
