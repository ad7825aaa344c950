# Two commands do everything: `make demo` shows Sendlab at work, `make test` checks all that is checked.
# Dependencies take long to build, so they are kept outside the checkout; set CARGO_TARGET_DIR to keep them elsewhere.
CACHE ?= $(HOME)/.cache/sendlab
export CARGO_TARGET_DIR ?= $(CACHE)/target
export SENDLAB_TEST_PYTHON := $(CACHE)/venv/bin/python

.PHONY: demo test lint bench console console-check setup tools help
help:
	@echo "make demo     build Sendlab and watch a simulated experiment run (add ARGS='--contacts 10000 --exit')"
	@echo "make test     install what the tests need and run all of them"
	@echo "make lint     formatting, clippy, types of the console"
	@echo "make bench    hot paths against a peer or a physical limit, release build"
	@echo "make console  build the console into dashboards/dist"

demo: tools console
	cargo build --workspace --bin sendlab
	$(CARGO_TARGET_DIR)/debug/sendlab demo $(ARGS)

test: tools setup lint
	cargo test --workspace --lib --bins --tests

lint: console-check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: $(CACHE)/bench-venv/ready
	cargo bench --workspace
	cargo bench --workspace --bench peers -- --python $(CACHE)/bench-venv/bin/python
	cargo build --release --workspace --bin sendlab
	$(CARGO_TARGET_DIR)/release/sendlab certify

$(CACHE)/bench-venv/ready: crates/sendlab/benches/requirements.txt
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

dashboards/node_modules: dashboards/package.json dashboards/package-lock.json
	cd dashboards && npm ci --no-audit --no-fund
	touch $@

console: dashboards/node_modules
	cd dashboards && npm run build

console-check: console
	cd dashboards && npm run check

setup:
	tests/setup.sh "$(CACHE)"

tools:
	@for tool in cargo cc npm; do command -v $$tool >/dev/null || { \
	  echo "make needs $$tool. Install Rust 1.95 (rustup), Node.js 20 or newer, and a C compiler: apt-get install gcc libc6-dev"; exit 1; }; done
