# What a person types: make demo, make stack, make test. What else there is: build, package, test-nomad, bench, soak, fuzz, lint, consul, vault, nomad, clean,
# and the programs that tests need: nginx, haproxy, systemd, docker, rpm, nodejs, npm, prometheus, chromium,
# dnsmasq, dig; and axe, which looks for what is not accessible in pages.

CONSUL_VERSION := 1.22.3
CONSUL_BUILT   := $(CURDIR)/.cache/consul-$(CONSUL_VERSION)
CONSUL         ?= $(CONSUL_BUILT)
VAULT_VERSION  := 1.21.0
VAULT_BUILT    := $(CURDIR)/.cache/vault-$(VAULT_VERSION)
VAULT          ?= $(VAULT_BUILT)
VAULT_USERS_BUILT := $(CURDIR)/.cache/vault-users-$(VAULT_VERSION)
VAULT_USERS    ?= $(VAULT_USERS_BUILT)
NOMAD_VERSION  := 1.10.5
NOMAD_BUILT    := $(CURDIR)/.cache/nomad-$(NOMAD_VERSION)
STATICCHECK    := honnef.co/go/tools/cmd/staticcheck@v0.8.2
ACTIONLINT     := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
FUZZTIME       ?= 60s
FUZZ           := go test -run '^$$' -fuzzminimizetime 10x -fuzztime $(FUZZTIME) -fuzz

# What "render --version" prints. A source without git needs both set: make build VERSION=0.2.0 COMMIT=bb2575f.
VERSION = $(shell examples/package/version.sh)
COMMIT  = $(shell git rev-parse --short=12 HEAD 2>/dev/null)
BINARY  = bin/render

# What "make package" builds, from what, and where to. The time of all files is the commit's.
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
PACKAGES  = bin/package
NFPM      := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
BUSYBOX   = .cache/busybox
AXE_VERSION := 4.14.1
AXE         ?= $(CURDIR)/.cache/axe-core-$(AXE_VERSION).js
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)

export CONSUL VAULT VAULT_USERS AXE

PROGRAMS := nginx haproxy systemd docker rpm nodejs npm prometheus chromium dnsmasq dig

.PHONY: build package demo stack stack-programs test bench soak fuzz lint consul vault nomad test-nomad axe clean $(PROGRAMS)

# Without C the program needs nothing of the machine that it runs on, and runs in an empty container, too. It has no symbols and no tables for debuggers (-s), which
# stacks and profiles do not need, and of the library of the command line no generator of documents.
build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -tags urfave_cli_no_docs -o $(BINARY) ./cmd/render

demo: build
	examples/nginx/demo.sh

# The whole stack of examples/stack as processes, until Ctrl-C.
stack: stack-programs consul nginx
	@examples/stack/stack.sh up

# The programs of the stack, as its Dockerfile needs them.
stack-programs:
	@$(MAKE) -s build BINARY=examples/stack/bin/render
	CGO_ENABLED=0 go build -trimpath -o examples/stack/bin/ ./examples/stack/web ./examples/stack/registrator
	cp examples/nginx/reload.sh examples/stack/bin/

test: consul vault $(PROGRAMS) $(BUSYBOX) axe
	go test -race -timeout 20m ./...

# What a real Nomad is needed for. make test skips these tests where $NOMAD is not set: the program takes long to build.
test-nomad: export NOMAD := $(or $(NOMAD),$(NOMAD_BUILT))
test-nomad: consul vault nomad
	go test -race -timeout 20m ./watch/nomad
	go test -race -timeout 20m -run Nomad ./cmd/render

# The long forms of tests: ten minutes each of a Consul behind a faulty network and of one that loses its leaders, queries that come and go,
# an hour of a Vault that is sealed and killed, 10,000 histories of a Consul that changes, 100,000 histories of commits in flight, a million changes under random templates, crashes, a
# hostile folder, and 10,000 people who open the status page.
soak: consul vault
	RENDER_SOAK_TIME=10m go test -count 1 -run Churn -v -timeout 1h ./cmd/render
	RENDER_SOAK=1 go test -run Soak -v -timeout 30m ./watch/consul
	RENDER_SOAK_TIME=1h go test -count 1 -run 'TestDay|TestManySecrets' -v -timeout 2h ./watch/vault
	RENDER_HISTORIES=10000 go test -run TestSignalsOracle -timeout 1h ./watch/consul
	RENDER_HISTORIES=100000 go test -run TestOracleInFlight -timeout 3h ./render
	RENDER_CHANGES=1000000 go test -run TestFragmentsOracle -timeout 3h ./template
	RENDER_SOAK=1 go test -run Oracle -timeout 1h ./render/commit
	RENDER_SOAK_TIME=10m go test -run Hostile -timeout 1h ./render/disk
	RENDER_SOAK=1 go test -run Crowd -v ./render/web

bench: build consul nginx
	go test -run '^$$' -bench . -benchmem ./watch/... ./template ./render/... ./cmd/render/config ./cmd/render/config/conf
	go run ./bench -render bin/render

fuzz: consul
	RENDER_HOSTILE_TIME=$(FUZZTIME) go test -run TestHostileTemplates -timeout 2h -v ./template
	$(FUZZ) FuzzParse ./template
	$(FUZZ) FuzzData ./template
	$(FUZZ) FuzzArguments ./template
	$(FUZZ) FuzzHostport ./template
	$(FUZZ) FuzzShellQuote ./template
	$(FUZZ) FuzzJSONQuote ./template
	$(FUZZ) FuzzYAMLQuote ./template
	$(FUZZ) FuzzTOMLQuote ./template
	$(FUZZ) FuzzRecipes ./examples
	$(FUZZ) FuzzFixture ./watch/fixture
	$(FUZZ) FuzzAnswer ./watch/consul
	$(FUZZ) FuzzIsDeep ./watch/agent
	$(FUZZ) FuzzScan ./watch/vault/pemfile
	$(FUZZ) FuzzWithFile ./render/run
	$(FUZZ) FuzzFillShell ./render/run
	$(FUZZ) FuzzTemplateSpec ./cmd/render/config
	$(FUZZ) FuzzGuard ./cmd/render/config
	$(FUZZ) FuzzActionFlags ./cmd/render/config
	$(FUZZ) FuzzLoad ./cmd/render/config
	$(FUZZ) FuzzParse ./cmd/render/config/conf
	$(FUZZ) FuzzHCL1 ./cmd/render/config/conf
	$(FUZZ) FuzzJSON ./cmd/render/config/conf

# Packages of Debian and of rpm, archives, images of containers, SBOMs and checksums: see examples/package/README.md.
package: $(BUSYBOX)
	go run ./examples/package -version '$(VERSION)' -commit '$(COMMIT)' -epoch '$(SOURCE_DATE_EPOCH)' -platforms '$(PLATFORMS)' -busybox '$(BUSYBOX)' -nfpm $(NFPM) -out $(PACKAGES)

# The shell of an image, from Debian's package, which is not installed.
$(BUSYBOX):
	@command -v apt-get >/dev/null || { echo 'there is no apt-get to download busybox-static with: set BUSYBOX=PATH, or BUSYBOX= for no image with a shell'; exit 1; }
	mkdir -p $@.d && cd $@.d && { apt-get download busybox-static || { apt-get update && apt-get download busybox-static; }; }
	dpkg-deb -x $@.d/busybox-static_*.deb $@.d && mv $@.d/bin/busybox $@ && rm -r $@.d

lint:
	@test -z "$$(gofmt -l .)" || { echo 'not formatted:'; gofmt -l .; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go run $(ACTIONLINT) examples/ci/workflow.yml

# The real Consul for tests, built once from its Go module; its go.mod is apart from ours.
consul: $(CONSUL)

$(CONSUL_BUILT): testdata/consul/go.mod
	cd testdata/consul && go build -trimpath -o $@ github.com/hashicorp/consul

# The real Vault for tests, in the same way. Its tag minimal leaves out what talks to clouds, which would take twice as long.
# With it comes the plugin of a database that has no server.
vault: $(VAULT) $(VAULT_USERS)

$(VAULT_BUILT): testdata/vault/go.mod
	cd testdata/vault && CGO_ENABLED=0 go build -trimpath -tags minimal -o $@ github.com/hashicorp/vault

$(VAULT_USERS_BUILT): testdata/vault/go.mod testdata/vault/users/main.go
	cd testdata/vault && CGO_ENABLED=0 go build -trimpath -tags minimal -o $@ ./users

# The real Nomad for tests, in the same way. It needs a C compiler: it opens namespaces of processes in C.
nomad: $(or $(NOMAD),$(NOMAD_BUILT))

$(NOMAD_BUILT): testdata/nomad/go.mod
	cd testdata/nomad && CGO_ENABLED=1 go build -trimpath -o $@ github.com/hashicorp/nomad

# The real programs for tests. RUNLEVEL=1 keeps Debian from starting them as services.
nginx: PACKAGE := nginx-light
haproxy: PACKAGE := haproxy
rpm: PACKAGE := rpm
systemd: PACKAGE := systemd
systemd: PROGRAM := systemd-analyze
docker: PACKAGE := docker.io docker-compose
docker: PROGRAM := dockerd
nodejs: PACKAGE := nodejs
nodejs: PROGRAM := node
npm: PACKAGE := npm
prometheus: PACKAGE := prometheus
chromium: PACKAGE := chromium
dnsmasq: PACKAGE := dnsmasq-base
dig: PACKAGE := bind9-dnsutils
$(PROGRAMS): PROGRAM ?= $@
$(PROGRAMS):
	@PATH="$$PATH:/usr/sbin"; command -v $(PROGRAM) >/dev/null || { \
		command -v apt-get >/dev/null || { echo '$(PROGRAM) is missing, and there is no apt-get to install it with'; exit 1; }; \
		apt-get update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(PACKAGE); }

# What looks for what is not accessible in the status page. It is not part of render.
axe: $(AXE)

$(AXE): | npm
	mkdir -p $@.d && cd $@.d && npm pack --silent axe-core@$(AXE_VERSION) && tar -xzf axe-core-$(AXE_VERSION).tgz package/axe.min.js
	mv $@.d/package/axe.min.js $@ && rm -r $@.d

clean:
	rm -rf bin .cache .demo .stack examples/stack/bin
