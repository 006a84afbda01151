# Ropeway's tasks. `make` lists them. Everything that is built goes to bin/; tools of the house are kept in the user's cache.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE    := $(shell TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
BUILD   := ropeway/internal/build
LDFLAGS := -s -w -X $(BUILD).version=$(VERSION) -X $(BUILD).commit=$(COMMIT) -X $(BUILD).date=$(DATE)

EXAMPLE   ?= examples/three-regions.yaml
FUZZTIME  ?= 10s

.PHONY: help
help: ## list the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

.PHONY: build
build: ## build bin/ropeway and bin/ropeway-gateway
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: machine
machine: # install what the lab and the tests need and this machine lacks (Debian, as root)
	@tools/machine

.PHONY: lab
lab: machine build ## bring the example fabric up on this machine, prove it, test it with packets (as root)
	@tools/lab $(EXAMPLE)

# What sends packets or waits for the kernel goes one package after the other: two cores are few, and timing is part of the tests.
TIMED := ^ropeway/(e2e|internal/(agent|bgp|firewall|lab|probe|route|rtnl|tune|wireguard))

.PHONY: test
test: machine build ## run every test (as root: they make network namespaces)
	go vet ./...
	go test -race -timeout 20m $$(go list ./... | grep -vE '$(TIMED)')
	go test -race -timeout 45m -p 1 $$(go list ./... | grep -E '$(TIMED)')

# Each runs in a virtual machine of its own, which ends after its time whatever becomes of the tests.
KERNEL := go run ./tools/kernel

.PHONY: test-kernel
test-kernel: ## run tunnels, agents and a failover with either daemon under Debian's kernel, in QEMU
	@tools/machine kernel || true # what is missing then, the next lines say
	$(KERNEL) -timeout 5m ./internal/wireguard -test.run 'TestTunnel|TestDrift|TestAdoption|TestRestart|TestPrefix|TestRoamed'
	$(KERNEL) -timeout 6m ./e2e/agent -test.v -test.run 'TestTunnel$$|TestDrift$$|TestDown$$'
	$(KERNEL) -timeout 15m ./e2e/kernel -test.v

.PHONY: bench
bench: machine build ## measure what the project promises to be fast (as root); fails below a bar
	go test -run '^$$' -bench . -benchmem -p 1 -timeout 60m $$(go list ./... | grep -vE '$(TIMED)')
	go test -run '^$$' -bench . -benchtime 1x -p 1 -timeout 60m $$(go list ./... | grep -E '$(TIMED)') # rounds are part of each

.PHONY: lint
lint: ## check the layers and the style
	@"$$(tools/build golangci-lint)" run ./...

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (default 10s)
	@tools/fuzz $(FUZZTIME)

.PHONY: generate
generate: ## write the Go code of the API, docs/errors.md and docs/commands.md again
	cd api && "$$(../tools/build buf)" generate
	go generate ./...

.PHONY: picture
picture: machine build ## record the README's picture again (as root)
	@tools/picture/record $(EXAMPLE) | go run ./tools/picture >docs/terminal.svg

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
