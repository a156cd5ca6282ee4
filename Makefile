# `make demo` shows it working, `make test` tries in minutes what the README promises, `make soak` is the rest of what CI
# runs. All install what this machine lacks, by scripts/install.sh, and touch no server that runs already.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build demo levels check test soak quick unit whole proof measure versions wal-fixtures fuzz bench pgo clean go servers servers-and-browser test-programs peers

# Prerequisites run in the order they stand in, with -j too.
.NOTPARALLEL:

# The revision goes into the binaries where git can tell it; where it can't, that is no reason not to build.
BUILDVCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)

# Everything is built with the toolchain that go.mod names, or with the installed one where that is newer, whatever the
# environment says: Go's own mends of net/http come with it. Go fetches it once, as it does a module.
export GOTOOLCHAIN := auto

# Only what is shipped is compiled by cmd/proxy/default.pgo: with it every package is compiled once more.
export GOFLAGS := $(strip $(GOFLAGS) -pgo=off)

# How long a step took is said at its end.
took = TIMEFORMAT='$@: $(1): %0R s'; time

# The pattern that names the tests of a list and no others.
any = ^($(subst $() $(),|,$(strip $(1))))$$

build: go
	@echo 'build: bin/proxy, bin/origin and bin/demo'
	@$(call took,compiling) CGO_ENABLED=0 go build -pgo=auto -trimpath -buildvcs=$(BUILDVCS) -o bin/ ./cmd/proxy ./cmd/origin ./dev/demo

# One line and no shell between: Ctrl-C and the exit status are the demo's own.
demo: go servers build
	@exec bin/demo

# The same traffic without a cache, with the service's query cache, with the proxy, and with both; a table at the end.
levels: go servers build
	@exec bin/demo levels

check: go
	@echo 'check: format (gofumpt), go vet, staticcheck, go mod verify, shellcheck where it is installed'
	@$(call took,format); unformatted=$$(go tool gofumpt -l .); if [[ -n $$unformatted ]]; then \
		printf 'check: not in gofumpt format, `go tool gofumpt -w .` mends it:\n%s\n' "$$unformatted" >&2; exit 1; fi
	@$(call took,vet) go vet ./...
	@$(call took,staticcheck) go tool staticcheck ./...
	@go mod verify
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi

# The parts that make test and make soak are made of, by folders. CONTRIBUTING.md says what belongs where.
UNIT := ./internal/... ./config
WHOLE := ./test/scenario ./test/site ./test/peers ./test/deploy ./test/rig ./dev/... ./cmd/...
PROOF := ./test/oracle
MEASURE := ./test/measure

# What takes longest comes first, so that no core has to wait for it at the end.
LONGEST := ./internal/cdc

# Two that measure need what only the tests of internal/cdc have. The second has no race detector either: a million rows
# are decoded ten times as slowly with it, so how long nothing can be proven is held without it.
ALONE := TestFollowersPurgeSoonAfterTheLeader
UNHURRIED := TestMillionRowsInOneTransaction

# Left to make soak: what takes longest without being the only one to hold a promise, what has to have both cores for
# itself to measure, and what tries the demo's pages and make bench.
LONG := TestOracleThroughRandomFaults TestOracleTwoLevelsThroughFaults TestOracleFiveProxies \
	TestStrictHitsCostARoundTrip $(ALONE) $(UNHURRIED) \
	TestPurgesContainEveryPageThatChangedInPieces TestTwoClustersWithOneStream TestLeaderDoesTheSameForOneFollowerAsForMany \
	TestServerThatWentBackIsANewEpoch TestServerSetBackUnderAll TestGapIsNoticed TestReadAheadWhileTheStreamStands \
	TestOracleQueryCache TestOracleAgentsInResults TestSiteWithoutScripts TestDashboardShowsAnEdit TestSentinelFailover \
	TestSiteColoursHaveContrast TestSiteByKeyboard TestSiteFitsAPhone \
	TestSiteAsPeopleUseIt TestStage TestDemo TestStopEndsTheWholeGroup TestLevelsPrintsATableOfAllFour \
	TestRecordsAreThoseThatTheServerLists TestCommitsAreThoseOfLogicalDecoding \
	TestStrictReadsAreLinearizable TestReadAheadOverMatches TestStreaming TestMembersKnowEachOther TestReloadUnderLoad \
	TestClusterSharesTheSlots TestLoadFindsNothingWrongWithNoCache TestPurgesContainEveryPageThatChangedReadAhead

# What tests have measured is shown at the end.
measured = measured=$$(mktemp); trap 'rm -f "$$measured"' EXIT; export WALPURGE_MEASURED=$$measured
show_measured = printf '\n$@: what was measured\n'; cat "$$measured"

# Every promise of the README. Everything is compiled once, without the race detector, and go vet is what does it: it
# needs all of it. In short tests the oracles take ten seconds each. Two packages at a time, those that take longest first.
test: go test-programs
	@echo 'test: all packages against real PostgreSQL and Redis, the oracles for ten seconds each'
	@$(call took,compiling and go vet) go vet ./...
	@$(measured); $(call took,tests) WALPURGE_SHORT=1 go test -vet=off -p 2 -skip '$(call any,$(LONG))' \
		$(LONGEST) $(PROOF) $(WHOLE) $(MEASURE) $(UNIT); $(show_measured)

# What wants both cores, one after the other.
measuring = $(call took,a million rows) go test -vet=off -run '$(call any,$(UNHURRIED))' ./internal/cdc; \
	$(call took,what followers cost) go test -race -vet=off -run '$(call any,$(ALONE))' ./internal/cdc; \
	$(call took,what measures) go test -race -vet=off -p 1 -timeout 17m $(MEASURE);

# The rest: the race detector over all packages, the oracles in full length, faults in random order, what measures, a
# million rows, fuzzing. The race detector shuffles what happens at one instant, and allocates: the protocol's scripts,
# allocations and sizes are compared by make test.
soak: go test-programs check build
	@echo 'soak: all packages with the race detector, in full length'
	@$(call took,compiling) go test -race -vet=off -run '^$$' ./... >/dev/null
	@$(measured); \
		$(measuring) \
		$(call took,tests) go test -race -vet=off -p 2 -timeout 17m -skip '$(call any,$(ALONE) $(UNHURRIED))' \
			$(PROOF) $(UNIT) $(WHOLE); $(show_measured)
	@echo 'soak: fuzzing, a minute each for requests, responses, directives and stored entries'
	@$(call took,fuzzing) scripts/fuzz.sh 1m 5s

# The parts alone, beside fuzz. quick is the everyday run: format, vet, staticcheck, and the packages' own tests in short
# form. It leaves a few to make test that take a quarter of a minute or more each.
LATER := TestPurgesContainEveryPageThatChanged TestWhatTheStreamDoesNotTellDropsTheTable TestWhatNobodyReadsDropsNothing

quick: go servers-and-browser check
	@echo 'quick: the packages with their own tests, without the race detector and without what takes long'
	@$(call took,tests) WALPURGE_SHORT=1 go test -vet=off -p 2 -skip '$(call any,$(LONG) $(LATER))' $(UNIT)

unit: go servers-and-browser
	@echo 'unit: the packages with their own tests, with the race detector and in full length'
	@$(call took,tests) go test -race -vet=off -p 2 -timeout 17m -skip '$(call any,$(ALONE) $(UNHURRIED))' $(UNIT)

whole: go test-programs
	@echo 'whole: the whole product, what is beside it, and what it comes with'
	@$(call took,tests) go test -race -vet=off -p 2 -timeout 17m $(WHOLE)

proof: go servers
	@echo 'proof: the oracles in full length, and linearizability'
	@$(measured); $(call took,tests) go test -race -vet=off -timeout 17m $(PROOF); $(show_measured)

measure: go servers
	@echo 'measure: one after the other, with all cores for each'
	@$(measured); $(measuring) $(show_measured)

# What depends on PostgreSQL's version, against each that is supported. The servers come from npm, so CI doesn't run it:
# it decodes what these servers have logged, which `make wal-fixtures` keeps. MAJOR='17 18' takes some of them.
versions: go servers
	@scripts/versions.sh test $(MAJOR)

wal-fixtures: go
	@scripts/versions.sh fixtures $(MAJOR)

# How long each target is fuzzed. What was found before, under testdata/fuzz, is tried by every test run.
FUZZ_FOR ?= 1m

fuzz: go
	@echo 'fuzz: every target for $(FUZZ_FOR), two at a time'
	@scripts/fuzz.sh $(FUZZ_FOR)

# A part alone, or a trial of all in two minutes: go run ./dev/bench -h tells how.
bench: go peers build
	@echo 'bench: the proxy beside its peers, ratios of one run'
	@go run ./dev/bench
	@echo 'bench: what followers and strict reads cost'
	@go test -run '^$$' -bench '^BenchmarkFollowersPurge$$' -benchtime 3000x ./internal/cdc
	@go test -run '^$$' -bench '^BenchmarkFollowers$$' -benchtime 1x ./internal/cdc
	@go test -run '^$$' -bench '^BenchmarkStrictHits$$' -benchtime 1x ./test/measure
	@go test -run '^$$' -bench '^BenchmarkRanges$$' -benchtime 1x ./internal/coherence

# Where the proxy spends its time under hits, row changes and decoding: the compiler inlines and lays out the
# program by it (https://go.dev/doc/pgo). Kept small: functions that hardly count are left out.
pgo: go servers
	@echo 'pgo: profiling hits and row changes into cmd/proxy/default.pgo'
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		go test -run '^$$' -bench '^Benchmark(Hit|HitEndToEnd)$$' -benchtime 8s -cpuprofile "$$dir/http" -o "$$dir/http.test" ./internal/proxycache && \
		go test -run '^$$' -bench '^BenchmarkDecode$$' -benchtime 6s -cpuprofile "$$dir/decode" -o "$$dir/decode.test" ./internal/cdc/pgoutput && \
		go test -run '^$$' -bench '^BenchmarkBacklog$$' -benchtime 4s -cpuprofile "$$dir/apply" -o "$$dir/apply.test" ./internal/coherence && \
		go test -run '^$$' -bench '^BenchmarkBacklog$$' -cpuprofile "$$dir/log" -o "$$dir/log.test" ./internal/cdc && \
		go tool pprof -proto -nodefraction=0.002 -output cmd/proxy/default.pgo "$$dir/http" "$$dir/decode" "$$dir/apply" "$$dir/log" && ls -l cmd/proxy/default.pgo

clean:
	@echo 'clean: removing bin/ and .run/'
	@rm -rf bin .run

go:
	@command -v go >/dev/null || { echo "Go is not in PATH: install version $$(sed -n 's/^toolchain go//p' go.mod) or later from https://go.dev/dl/ and run make again" >&2; exit 1; }

servers:
	@echo 'servers: looking for PostgreSQL and Redis, installing what is missing'
	@scripts/install.sh servers

servers-and-browser:
	@echo 'test: looking for PostgreSQL, Redis and a browser, installing what is missing'
	@$(call took,installing) scripts/install.sh servers browser

test-programs:
	@echo 'test: looking for PostgreSQL, Redis, a browser, Prometheus, other caches and a C compiler, installing what is missing'
	@$(call took,installing) scripts/install.sh servers browser prometheus caches compiler

peers:
	@echo 'bench: looking for the servers to compare with, installing what is missing'
	@scripts/install.sh servers peers compiler
