# make help lists what there is. Go, make and bash are all that must be there:
# the rest is installed into .tools by the targets that need it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export GOTOOLCHAIN ?= local
export CGO_ENABLED ?= 0

TOOLS := $(CURDIR)/.tools/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BUILD := go build -trimpath -ldflags '-s -w -X startup-bundle/internal/version.linked=$(VERSION)'
GO_FILES := $(shell find . -name '*.go' -not -path './.tools/*') go.mod go.sum packer/recipe.sh.tmpl
SHELL_FILES = $(shell git ls-files -co --exclude-standard | xargs -r grep -lE '^\#!.*\b(ba)?sh\b|^\# shellcheck shell=' --include='*' 2>/dev/null | grep -vE '\.(md|tmpl|go|txtar|txt|yaml)$$|^modules/|^Makefile$$')
FUZZTIME ?= 60s

AGE := $(TOOLS)/age
MOCK := $(TOOLS)/ec2-metadata-mock
VERSITYGW := $(TOOLS)/versitygw
TOXIPROXY := $(TOOLS)/toxiproxy-server
REGISTRY := $(TOOLS)/registry
GOLANGCI := $(TOOLS)/golangci-lint
SHFMT := $(TOOLS)/shfmt
NFPM := $(TOOLS)/nfpm
HCLFMT := $(TOOLS)/hclfmt

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: build/startup-agent build/startup-packer ## build both programs for this machine, into build/

build/startup-agent build/startup-packer: build/%: $(GO_FILES)
	$(BUILD) -o $@ ./cmd/$*

DIST := $(foreach arch,amd64 arm64,$(foreach program,startup-agent startup-packer,dist/linux-$(arch)/$(program)) dist/darwin-$(arch)/startup-packer)

.PHONY: dist
dist: $(DIST) ## build static binaries for amd64 and arm64, into dist/: both for Linux, the packer for macOS
	ls -l $(DIST)

$(filter dist/linux-%,$(DIST)): dist/linux-%: $(GO_FILES)
	GOOS=linux GOARCH=$(*D) $(BUILD) -o $@ ./cmd/$(*F)
$(filter dist/darwin-%,$(DIST)): dist/darwin-%: $(GO_FILES)
	GOOS=darwin GOARCH=$(*D) $(BUILD) -o $@ ./cmd/$(*F)
.ONESHELL: test cover fuzz lint integration

.PHONY: package
package: dist $(NFPM) ## build the deb and rpm of both programs for amd64 and arm64, into dist/packages/
	NFPM=$(NFPM) scripts/package/build.sh

.PHONY: boot-test
boot-test: build dist/linux-$(shell go env GOARCH)/startup-agent $(NFPM) $(MOCK) $(VERSITYGW) ## boot a real Debian with the package in it, many ways; needs root
	scripts/boot-test/run.sh

.PHONY: vm-test
vm-test: build dist/linux-amd64/startup-agent $(NFPM) $(MOCK) $(VERSITYGW) ## cut the power of a virtual machine while its agent works (minutes); needs root and qemu
	scripts/vm-test/run.sh

# Its modules write into their own folders alone, so that it may do without a copy of
# the machine where root can have none.
.PHONY: demo
demo: build ## pack a personality and boot it here: no root, no AWS
	@build/startup-packer rehearse scripts/demo/personality.yaml || { [ $$? = 1 ] && build/startup-packer rehearse --here scripts/demo/personality.yaml; }
	@echo "next: build/startup-packer init my-role, or docs/quick-start.md" >&2

.PHONY: pictures
pictures: ## draw the terminal pictures of the README anew
	go run ./scripts/pictures scripts/pictures/root docs/img

.PHONY: bench
bench: build build/bench build/bench-hello $(AGE) ## measure the agent against the shell recipe; rewrites docs/performance.md (minutes)
	build/bench -age $(AGE) -docs docs

build/bench: $(wildcard scripts/bench/*.go) go.mod
	go build -trimpath -o $@ ./scripts/bench
build/bench-hello: scripts/bench/hello/main.go
	go build -trimpath -ldflags '-s -w' -o $@ ./scripts/bench/hello

.PHONY: test
test: $(AGE) ## run all tests, with the race detector
	@PATH="$(TOOLS):$$PATH" CGO_ENABLED=$$(command -v gcc >/dev/null && echo 1 || echo 0)
	race=-race
	if [ "$$CGO_ENABLED" = 0 ]; then race=; echo "no C compiler: the race detector is left out" >&2; fi
	export PATH CGO_ENABLED
	go test $$race ./...

.PHONY: sweep
sweep: ## kill the agent, and fail its disk, at every call that changes the disk
	SWEEP=1 go test -count=1 -timeout 30m -v -run TestSweep ./agent/sweep | awk '!/^ *(=== |--- PASS)/ {print; fflush()}'

.PHONY: crash-test
crash-test: ## kill the agent 1,000 times at random moments, on a busy machine (minutes); CRASH_SEED repeats a test
	CRASH_KILLS=$${CRASH_KILLS:-1000} go test -count=1 -timeout 60m -v -run 'TestRandomKills|TestKilledBetween' ./agent/sweep | grep --line-buffered -vE '^ *(=== |--- PASS)'

.PHONY: power-test
power-test: ## cut the power of a disk 200 times under the agent (minutes); needs root and loop devices
	POWER_CUTS=$${POWER_CUTS:-200} unshare --mount go test -count=1 -timeout 60m -v -run TestPowerCuts ./agent/sweep | grep --line-buffered -vE '^ *(=== |--- PASS)'

.PHONY: integration
integration: $(AGE) $(HCLFMT) $(MOCK) $(VERSITYGW) $(TOXIPROXY) $(REGISTRY) ## run the tests against other people's servers: metadata mock, S3, toxiproxy, OCI registry
	PATH="$(TOOLS):$$PATH" go test -tags integration -count 1 $$(grep -rl --include=*_test.go --exclude-dir=proving '^//go:build integration' agent internal packer scripts | xargs -n 1 dirname | sort -u | sed 's|^|./|')
	if [ "$$(id -u)" = 0 ]; then scripts/cloud-init/test/run.sh; else echo "skipped: the cloud-init test needs root" >&2; fi

.PHONY: test-modules
test-modules: MODULES := $(patsubst modules/%/start,%,$(wildcard modules/*/start))
test-modules: build ## try every module, and six together, on Debian 12 and 13, booted here; needs root
	@build/startup-packer module test --modules modules --base debian12 --base debian13 $(MODULES) scripts/demo/six.yaml

.PHONY: share-test
share-test: build $(REGISTRY) ## publish ten modules to a registry, pack them from there, and boot their bundle; needs root
	scripts/share-test/run.sh

.PHONY: six
six: build ## boot six modules together, and draw where the time went; needs root
	@build/startup-packer module test --modules modules --timeline docs/img/six.svg scripts/demo/six.yaml

.PHONY: test-modules-quick
test-modules-quick: build ## try module test itself, the guide to modules, and five of them on Debian 12, where this machine can
	go test -tags integration -count 1 -run 'TestMachines|TestTheGuide' ./packer/proving
	@build/startup-packer module test --modules modules --skip-unable tinydns redis users volume nginx

.PHONY: cover
cover: $(AGE) ## run all tests and print the coverage of agent, packer and internal
	mkdir -p build
	PATH="$(TOOLS):$$PATH" go test -coverprofile=build/cover.out -coverpkg=./agent/...,./packer/...,./internal/... ./... >build/cover.log || { cat build/cover.log; exit 1; }
	go tool cover -func=build/cover.out | tail -n 1

.PHONY: fuzz
fuzz: ## fuzz each parser of outside bytes for FUZZTIME (60s)
	for package in $$(go list ./...); do
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do
	    echo "== $$package $$target"
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$package
	  done
	done

.PHONY: lint
lint: $(GOLANGCI) $(SHFMT) $(HCLFMT) ## check formatting, the linters' rules, and the shell scripts
	$(GOLANGCI) run ./...
	GOOS=darwin go build -o /dev/null ./cmd/startup-packer
	GOOS=darwin go vet ./cmd/startup-packer ./packer
	go mod tidy -diff
	$(SHFMT) -d -i 2 $(SHELL_FILES)
	$(SHFMT) -d modules
	$(HCLFMT) -check scripts/examples/*.tf scripts/bake/*.hcl >/dev/null
	if command -v cfn-lint >/dev/null; then cfn-lint scripts/examples/*.yaml; else echo "cfn-lint is not here: the CloudFormation examples were not looked at" >&2; fi
	if command -v shellcheck >/dev/null; then shellcheck $(SHELL_FILES) && shellcheck modules/lib.sh modules/*/start modules/*/check; else echo "shellcheck is not here: the shell scripts were only parsed" >&2; fi

.PHONY: clean
clean: ## remove what was built; the tools stay
	rm -rf build dist

# Tools, at fixed versions, in a folder of this checkout that git ignores.
$(GOLANGCI):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
$(SHFMT):
	GOBIN=$(TOOLS) GOFLAGS= go install mvdan.cc/sh/v3/cmd/shfmt@v3.14.1
$(MOCK):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock@v1.13.0
$(VERSITYGW):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
$(TOXIPROXY):
	GOBIN=$(TOOLS)/toxiproxy GOFLAGS= go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0
	mv $(TOOLS)/toxiproxy/server $@ && rmdir $(TOOLS)/toxiproxy
$(REGISTRY):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2
$(HCLFMT):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.24.0
$(AGE):
	GOBIN=$(TOOLS) GOFLAGS= go install filippo.io/age/cmd/age@v1.3.2
$(NFPM):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
