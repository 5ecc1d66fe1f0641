# One entry point for everything: `make` shows what there is.
#
# Tests and lints are one build: the compiler of this workspace is clippy-driver (dependencies see the plain rustc, so theirs is
# shared with every other build), and a warning is an error.

RUN_PACKAGES  := gcc libc6-dev qemu-user-static uidmap
TEST_PACKAGES := $(RUN_PACKAGES) chromium fonts-dejavu-core git openssl python3 skopeo buildah podman docker-registry crun netavark fuse-overlayfs slirp4netns openssh-client
CONF_PACKAGES := $(TEST_PACKAGES) python3-yaml zstd mmdebstrap
NEXTEST       := 0.9.143

CASES ?=
SHARED_CASES := $(wildcard ../shared/conformance/run.py)

# Rust's installer puts cargo where a plain login shell may not look.
export PATH := $(PATH):$(HOME)/.cargo/bin
CHECKED := RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__
TRIPLE   = $(shell rustc -vV | sed -n 's/^host: //p')
ARCHIPEL = $(CURDIR)/target/$(TRIPLE)/release/archipel
CHECKED_ARCHIPEL = $(CURDIR)/target/$(TRIPLE)/debug/archipel

.DEFAULT_GOAL := help
.PHONY: help build demo demo-pipeline test conformance bench deps deps-run deps-conformance toolchain

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1:/p' $(MAKEFILE_LIST) | awk -F: '{ printf "  make %-14s %s\n", $$1, $$2 }'

build: toolchain ## Build the static release binary, target/TRIPLE/release/archipel
	cargo build --release --package archipel

demo: deps-run ## Build, publish and run examples/hello-devops for three platforms, with a registry of our own
	cargo build --release --package archipel
	cargo xtask bases target/bases
	scripts/demo.sh $(ARCHIPEL) target/bases

demo-pipeline: deps-run ## Run three GitLab pipelines that were written for Docker-in-Docker, as they are, without Docker
	@$(call packages,git openssl python3)
	cargo build --release --package archipel
	cargo xtask bases target/bases
	scripts/demo-pipeline.sh $(ARCHIPEL) target/bases

test: deps ## Formatting, lints and every test
	cargo fmt --all --check
	$(CHECKED) cargo xtask bases target/bases
	$(CHECKED) cargo build --package archipel
	$(if $(SHARED_CASES),scripts/conformance.sh $(CHECKED_ARCHIPEL) target/bases $(CASES),\
	  @echo "No ../shared/conformance beside this checkout: its cases are not run.")
	$(CHECKED) ARCHIPEL_TEST_BASES=$(CURDIR)/target/bases cargo nextest run --workspace $(if $(CI),--profile ci)

conformance: deps-conformance ## Run the cases of ../shared/conformance; CASES="-k REGEXP" selects some
	cargo build --release --package archipel
	cargo xtask bases target/bases --only busybox
	scripts/conformance.sh $(ARCHIPEL) target/bases $(CASES)

bench: deps ## Measure the release binary, and the peers that are here; a table for BENCHMARKS.md
	cargo build --release --package archipel
	cargo xtask bases target/bases
	cargo xtask bench $(ARCHIPEL) target/bases

deps: toolchain ## Install what the tests need
	@$(call packages,$(if $(SHARED_CASES),$(CONF_PACKAGES),$(TEST_PACKAGES)))
	@cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked --version $(NEXTEST)

deps-run: toolchain ## Install what building and running need
	@$(call packages,$(RUN_PACKAGES))

deps-conformance: toolchain
	@$(call packages,$(CONF_PACKAGES))

toolchain:
	@command -v cargo >/dev/null || { \
	  echo "No Rust toolchain: install rustup (https://rustup.rs), which then takes the version that rust-toolchain.toml names." >&2; exit 1; }
	@cargo --version >/dev/null

# Installs the Debian packages that are missing. Recommended packages stay out: binfmt-support would register QEMU for the
# whole machine, which archipel does not need.
define packages
  missing=; for p in $(1); do \
    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
  [ -z "$$missing" ] && exit 0; \
  command -v apt-get >/dev/null || { echo "Not a Debian machine: please install the equivalents of$$missing" >&2; exit 1; }; \
  sudo=; [ "$$(id -u)" = 0 ] || { sudo=sudo; command -v sudo >/dev/null || { \
    echo "As root, please: apt-get install --no-install-recommends$$missing" >&2; exit 1; }; }; \
  echo "Installing$$missing"; \
  $$sudo apt-get -q update; $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing
endef
