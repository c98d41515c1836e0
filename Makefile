# Every task of the project. `make` alone lists them. All tools are pinned: Go tools in tools/*.mod, one file each.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL: # checks print in order, and the tests' closing lines come last

tool = go tool -modfile=tools/$(1).mod $(1)
inbench = cd bench && go tool -modfile=../tools/$(1).mod $(1)
BUF := $(call tool,buf)

# What `go test` runs on; narrow it with: make unit PKG=./internal/sse
PKG ?= ./...
# How long each fuzz target runs; for a real search: make fuzz FUZZTIME=10m
FUZZTIME ?= 3s
BENCH ?= .
BENCHTIME ?= 1s

.PHONY: help
help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Start the example backend, the bridge and a page to see them with
	@go build -o bin/grpc-sse ./cmd/grpc-sse
	@exec bin/grpc-sse demo

.PHONY: test
test: install lint checkgenerate fuzz crowd allocs benchtest race ## Everything that must hold before a merge; installs what it needs

.PHONY: race
race: ## All tests, with the race detector
	@$(call tool,gotestsum) --format pkgname --hide-summary=skipped -- -race -vet=off -timeout 20m $(PKG)

.PHONY: crowd
crowd: ## What the race detector is too slow for, or changes: a million events, ten thousand clients; allocations
	@go test -count=1 -run Contract ./internal/eventlog
	@go test -count=1 -timeout 20m ./internal/e2e/crowd
	@go test -count=1 -run DoesNotAllocate ./internal/transcode/... ./internal/e2e/ingest

.PHONY: allocs
allocs: ## Fail when a benchmark allocates more often than before; UPDATE=1 notes how often they do now
	@scripts/allocs.sh $(if $(UPDATE),update)

.PHONY: unit
unit: ## The tests that need no browser, proxy or second process
	@go test $$(go list $(PKG) | grep -v /internal/e2e)

.PHONY: e2e
e2e: e2e/node_modules ## The tests with browsers, nginx and the built binary
	@$(call tool,gotestsum) --format testname -- -race -vet=off -timeout 20m ./internal/e2e/...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: microbench
microbench: ## Run the Go benchmarks that match BENCH
	@go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem $(PKG)

.PHONY: bench
bench: ## Measure beside other programs, in minutes; some of it: make bench BENCHARGS='-scenario storm'
	@cd bench && go run ./cmd/bench -short $(BENCHARGS)

.PHONY: bench-full
bench-full: ## Measure everything in three rounds, keep the results, make docs/performance.md of them
	@cd bench && go run ./cmd/bench -out results $(BENCHARGS)
	@$(MAKE) -s --no-print-directory bench-micro bench-report

.PHONY: bench-micro
bench-micro: ## Keep the figures of the Go benchmarks that docs/performance.md shows
	@{ go test -run '^$$' -bench . -benchtime 0.3s -count 5 -benchmem ./internal/transcode/... ./internal/sse ./internal/eventlog && \
	  go test -run '^$$' -bench 'Ingest$$' -count 5 -cpu 1 ./internal/e2e/ingest; } | (cd bench && go run ./cmd/report -micro)

.PHONY: bench-report
bench-report: ## Make docs/performance.md and its charts of bench/results
	@cd bench && go run ./cmd/report

.PHONY: bench-install
bench-install: ## Install what `make bench` can measure beside (Debian packages, as root)
	@scripts/install.sh bench

.PHONY: benchtest
benchtest: ## The tests of the benchmark itself, with every scenario in small
	@cd bench && go test -timeout 10m ./...

.PHONY: lint
lint: ## Check protos, Go code and its format
	$(BUF) lint
	$(BUF) format -d --exit-code --exclude-path third_party
	$(BUF) breaking proto --against proto/baseline.binpb
	go mod tidy -diff
	go vet ./...
	go fix -diff -stringsbuilder=false ./... # a few concatenations read better than a Builder
	$(call tool,golangci-lint) run
	$(call inbench,buf) lint
	$(call inbench,buf) format -d --exit-code
	cd bench && go mod tidy -diff
	cd bench && go vet ./...
	cd bench && go fix -diff -stringsbuilder=false ./...
	$(call inbench,golangci-lint) run

.PHONY: format
format: ## Format protos and Go code
	$(BUF) format -w --exclude-path third_party
	$(call tool,golangci-lint) fmt
	$(call inbench,buf) format -w
	$(call inbench,golangci-lint) fmt

.PHONY: generate
generate: ## Make everything that is generated from the protos
	@scripts/generate.sh .

.PHONY: checkgenerate
checkgenerate: ## Fail when what is generated is not up to date
	@scripts/checkgenerate.sh

.PHONY: baseline
baseline: ## At a release: make today's protos what later ones may not break
	$(BUF) build proto --exclude-source-info -o proto/baseline.binpb

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what the code calls
	@scripts/vuln.sh

.PHONY: install
install: ## Install what the tests need: Debian packages (as root), npm packages
	@scripts/install.sh
	@$(MAKE) -s --no-print-directory e2e/node_modules

e2e/node_modules: e2e/package-lock.json e2e/package.json
	cd e2e && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: clean
clean: ## Remove what the tasks made
	rm -rf bin artifacts e2e/node_modules
