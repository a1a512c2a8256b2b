# Edict's targets. A target is one line; what needs more than a line lives in hack/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Where the real etcd, kube-apiserver, kube-controller-manager and kubectl are built, and where tests look for them: an
# absolute path, because tests run in the folders of their packages.
export EDICT_CONTROLPLANE ?= $(CURDIR)/bin/controlplane

# Where tests look for PostgreSQL: a folder that hack/postgres.sh has filled, or one that holds initdb and postgres.
export EDICT_POSTGRES ?= $(CURDIR)/bin/postgres

# What `make test` tests: make test PKG=./internal/view/... TESTFLAGS='-run Budget -v'
PKG ?= ./...
TESTFLAGS ?=

LINT := go tool -modfile=hack/tools/go.mod golangci-lint

##@ Use

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build controlplane ## Tell the whole story on a real control plane; KEEP=1 leaves it running.
	@go run ./hack/demo $(if $(KEEP),--keep)

.PHONY: bench
bench: build controlplane ## Measure throughput, latency and API writes against a bare client's ceiling.
	@go run ./hack/bench $(BENCHFLAGS)

.PHONY: bench-recall
bench-recall: ## Measure what retrieval finds on LoCoMo, in LOCOMO_DIR: RECALLFLAGS=-ablation for each part, EDICT_EMBEDDINGS_URL and _MODEL for vectors.
	@go run ./hack/recall $(RECALLFLAGS)

##@ Build

.PHONY: build
build: ## Build the operator into bin/edict.
	go build -o bin/edict ./cmd

.PHONY: controlplane
controlplane: ## Build etcd, kube-apiserver, kube-controller-manager and kubectl, once.
	@hack/controlplane.sh "$(EDICT_CONTROLPLANE)"

.PHONY: postgres
postgres: ## Find or unpack a real PostgreSQL for the tests.
	@hack/postgres.sh "$(EDICT_POSTGRES)"

.PHONY: generate
generate: ## Generate deepcopy functions, CRDs, the manager's RBAC role and the API reference.
	@hack/generate.sh .

.PHONY: clean
clean: ## Remove what was built; the Go build cache stays.
	rm -rf bin

##@ Check

.PHONY: fmt
fmt: ## Format the Go sources.
	gofmt -s -w api cmd hack internal test

.PHONY: lint
lint: ## Run the linters of .golangci.yml.
	$(LINT) run ./...

.PHONY: verify
verify: ## Check generated files, formatting, vet, linters and import rules; changes nothing.
	@hack/verify.sh

.PHONY: test
test: controlplane postgres ## Run every test with the race detector: PKG=./internal/... and TESTFLAGS=-v narrow it.
	@hack/test.sh "$(PKG)" $(TESTFLAGS)

# How long the fault campaign may take.
FAULTS_BUDGET ?= 15m

.PHONY: faults
faults: controlplane postgres ## Try to prove the operator's promise wrong: FAULTS_BUDGET=15m, EDICT_SEED, EDICT_KILLS.
	@hack/faults.sh "$(FAULTS_BUDGET)"
