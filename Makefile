# Zavhoz. `make` alone lists the targets. Every target ends in the exit code of what failed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.buildVersion=$(VERSION)
EXE       := $(shell $(GO) env GOEXE)
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
CORES     := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# Packages tested at once: one more than cores, but never more than four. They wait a third of their time for sshd, databases and daemons of their own; many more would make deadlines miss.
JOBS      ?= $(shell n=$(CORES); echo $$(( n > 3 ? 4 : n + 1 )))
# What takes longest starts first, beside everything else.
FIRST     := ./cmd/zavhoz ./run
# The helper has one goroutine, and two hundred packages of clouds below it, which nothing else of ours needs: for the race detector they would be compiled once more.
PLAIN     := ./cmd/zavhoz-sops
TIMEOUT   ?= 30m
# A passphrase costs half a second by intent, and twelve times that where the race detector watches each of scrypt's steps: one function on memory of its own, which
# nobody else sees, in a package that is not ours.
# And the schemas of JSON's own schemas, which a library of mcp-go compiles at the start of every process (thousands here), before main: 30 ms where they are watched. Afterwards tests alone call it:
# mcp-go's checks by schema are not switched on here (WithInputSchemaValidation, WithOutputSchemaValidation).
RACE      := -race -gcflags=golang.org/x/crypto/scrypt=-race=false -gcflags=github.com/santhosh-tekuri/jsonschema/v6=-race=false
FUZZTIME  ?= 20s
BENCHTIME ?= 1s

# $(call scratch): a TMPDIR of our own that goes when the recipe ends, whatever the outcome. Short: unix socket paths hold 104 bytes. Nobody else
# can list it, but pass through: tests of root's run programs as an ordinary user.
scratch = export TMPDIR="$$(mktemp -d "$${TMPDIR:-/tmp}/zvt.XXXXXX")"; chmod 711 "$$TMPDIR"; \
	other=; trap '[ -z "$$other" ] || { kill -- "-$$other"; wait "$$other"; } 2>/dev/null || :; chmod -R u+rwX "$$TMPDIR" 2>/dev/null || :; rm -rf "$$TMPDIR"' EXIT; trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  settings   ONCE=1 (run)  FUZZTIME=$(FUZZTIME)  BENCHTIME=$(BENCHTIME)  TIMEOUT=$(TIMEOUT)  JOBS=$(JOBS)"

.PHONY: build
build: bare ## Build bin/zavhoz, and beside it bin/zavhoz-sops (many libraries: minutes the first time)
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/zavhoz-sops$(EXE) ./cmd/zavhoz-sops
	@echo "bin/zavhoz-sops$(EXE) $(VERSION)"

.PHONY: bare
bare: # bin/zavhoz alone, which is all that a run needs
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/zavhoz$(EXE) ./cmd/zavhoz
	@echo "bin/zavhoz$(EXE) $(VERSION)"

.PHONY: run
run: bare needs ## Play the main job as a real MCP session against the built binary (ONCE=1: once, then end)
	@$(scratch); ONCE='$(ONCE)' ZAVHOZ_BIN="$$PWD/bin/zavhoz$(EXE)" $(GO) run ./cmd/internal/demo

.PHONY: needs
needs: ## Install what the tests need, if it is missing (apt; as root or by sudo -n)
	@testdata/needs/install

# $(call tested,TIMEOUT): every package's tests with the race detector, and those of PLAIN as the product is compiled.
watched = $$($(GO) list ./... | grep -vx 'github.com/zavhoz/zavhoz$(PLAIN:.%=%)')
tested = code=0; $(GO) test $(RACE) -vet=off -p $(JOBS) -timeout $(1) $(FIRST) $(watched) </dev/null || code=$$?; \
	CGO_ENABLED=0 $(GO) test -vet=off -timeout $(1) $(PLAIN) </dev/null || code=$$?; [ -z "$$other" ] || wait "$$other" || code=$$?; other=; exit $$code

# lint runs while the tests wait; they come first, and it speaks when it has ended. A group of its own: what ends us ends it, and is there until all of it has ended. With no MAKEFLAGS, for we hand
# down no jobserver of a make -j; variables of the command line are in the environment.
beside = set -m; { trap 'exit 143' TERM; code=0; MAKEFLAGS= nice -n 10 $(MAKE) --no-print-directory lint BRIEF=1 >"$$TMPDIR/lint" 2>&1 || code=$$?; cat "$$TMPDIR/lint"; exit $$code; } </dev/null & other=$$!; set +m

# While needs installs, on one core or none much of the time, go list compiles for go test, and links nothing. It is broken off when all is there, lest both compile the same; what it could not
# compile, go test says. A group of its own, as above.
ahead = set -m; { nice -n 10 $(GO) list -export -test $(RACE) $(watched); } </dev/null >/dev/null 2>&1 & other=$$!; set +m
installed = { kill -- "-$$other" || :; wait "$$other" || :; } 2>/dev/null; other=

# Else every program that the race detector watches sleeps a second at its end.
test test-long: export GORACE ?= atexit_sleep_ms=10

.PHONY: test
test: ## Check the house rules, and run every test with the race detector beside
	@$(scratch); $(ahead); testdata/needs/install; $(installed); \
	echo "test: $(GO) test -race, $(JOBS) packages at once, each at most $(TIMEOUT), and make lint beside them"; \
	$(beside); $(call tested,$(TIMEOUT))

.PHONY: test-long
test-long: export ZAVHOZ_LONG = 1
test-long: needs lint platforms ## The long tests (full crash, soak and property rounds), then every fuzz target
	@echo "test-long: ZAVHOZ_LONG=1"
	@$(scratch); $(call tested,120m)
	@$(MAKE) fuzz

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@$(scratch); grep -rlE --include='*_test.go' --exclude-dir=testdata '^func Fuzz[A-Z]' . | sort | while read -r file; do \
	  dir="$$(dirname "$$file")"; \
	  for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$$file"); do \
	    echo "fuzz: $$dir $$name $(FUZZTIME)"; \
	    $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null; \
	  done; \
	done

.PHONY: bench
bench: build ## Measure: Go benchmarks, then whole processes against floors in one run (docs/performance.md)
	@$(scratch); grep -rlE --include='*_test.go' --exclude-dir=testdata '^func Benchmark[A-Z]' . | xargs -r -n1 dirname | sort -u | while read -r dir; do \
	  $(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) "$$dir" </dev/null; \
	done; \
	if [ -d cmd/internal/bench ]; then ZAVHOZ_BIN="$$PWD/bin/zavhoz$(EXE)" $(GO) run ./cmd/internal/bench; \
	else echo "bench: cmd/internal/bench is missing: whole processes were not measured" >&2; exit 1; fi

# As the product is built, so that what is compiled here serves its builds in the tests, too. BRIEF, beside the tests: the clouds below PLAIN are not read, which are five minutes of processor time
# where nothing is cached. Of it vet reads all, and the rules all for this platform; staticcheck and the rules for other platforms read it in make lint and make test-long.
lint platforms: export CGO_ENABLED = 0
brief = $(filter command,$(origin BRIEF))

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, and the rules of the house on six platforms (cmd/internal/lint)
	@echo "lint: gofmt"
	@bad="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' 2>/dev/null || find . -name '*.go'))"; \
	  if [ -n "$$bad" ]; then echo "not formatted (gofmt -w):" >&2; echo "$$bad" >&2; exit 1; fi
	@echo "lint: go vet"
	@$(GO) vet ./...
	@echo "lint: staticcheck"
	@GOGC=400 $(GO) tool staticcheck $(if $(brief),$(watched),./...) # a sixth less of processor time for half a gigabyte
	@echo "lint: house rules, on six platforms"
	@$(GO) run ./cmd/internal/lint $(if $(brief),-brief)

.PHONY: platforms
platforms: # all of it compiled for every platform; lint only reads it, with its tests, as the compiler does
	@for p in $(PLATFORMS); do echo "platforms: build $$p"; \
	  GOOS="$${p%/*}" GOARCH="$${p#*/}" $(GO) build -buildvcs=false -o /dev/null ./...; done

.PHONY: cover
cover: ## Coverage by package, and coverage.out for go tool cover
	@$(scratch); $(GO) test -p $(JOBS) -timeout $(TIMEOUT) -coverpkg=./... -coverprofile=coverage.out ./... </dev/null
	@$(GO) tool cover -func=coverage.out | tail -1

.PHONY: clean
clean: ## Remove what the targets above made
	@rm -rf bin coverage.out
