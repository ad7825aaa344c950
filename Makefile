# Two commands do everything: `make demo` shows Sendlab at work, `make test` checks all that is checked.
# Dependencies take long to build, so they are kept outside the checkout; set CARGO_TARGET_DIR to keep them elsewhere.
CACHE ?= $(HOME)/.cache/sendlab
export CARGO_TARGET_DIR ?= $(CACHE)/target
export SENDLAB_TEST_PYTHON := $(CACHE)/venv/bin/python

.PHONY: demo test lint bench bench-lake bench-audience bench-readout console console-check setup tools help
help:
	@echo "make demo     build Sendlab and watch a simulated experiment run (add ARGS='--contacts 10000 --exit')"
	@echo "make test     install what the tests need and run all of them"
	@echo "make lint     formatting, clippy, types of the console"
	@echo "make bench    hot paths against a peer or a physical limit, release build"
	@echo "make bench-lake  of these, the lake: ingest and questions beside DuckDB, chdb and Polars (DELIVERIES=70720000: 100 M events)"
	@echo "make bench-audience  a million contacts imported, and the sample segments beside SQL written by hand"
	@echo "make bench-readout   50 M events of one experiment read out, beside DuckDB on the same files"
	@echo "make console  build the console into dashboards/dist"

demo: tools console
	cargo build --workspace --bin sendlab
	$(CARGO_TARGET_DIR)/debug/sendlab demo $(ARGS)

# Clippy compiles the workspace in the place of rustc, so that its lints cost no second check of all dependencies: see crates/DECISIONS.md.
test: export RUSTC_WORKSPACE_WRAPPER := clippy-driver
test: export CLIPPY_ARGS := -Dwarnings__CLIPPY_HACKERY__
test: tools setup console-check
	cargo fmt --all --check
	cargo test --workspace --lib --bins --tests

# The same lints sooner, and those of benches.
lint: console-check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: $(CACHE)/bench-venv/ready bench-lake bench-audience
	cargo bench --workspace
	cargo bench --workspace --bench peers -- --python $(CACHE)/bench-venv/bin/python
	$(CARGO_TARGET_DIR)/release/sendlab certify
	$(CARGO_TARGET_DIR)/release/sendlab bench smtp
	$(CARGO_TARGET_DIR)/release/sendlab bench codes
	$(CARGO_TARGET_DIR)/release/sendlab bench recommendations

# 20,000,000 deliveries give 28 million events: 8 GB of lines and 1 GB in each of two lakes.
DELIVERIES ?= 20000000
LAKE := $(CACHE)/bench-lake/$(DELIVERIES)
LAKE_PYTHON := $(CACHE)/lake-venv/bin/python
LAKE_BENCHES := crates/sendlab/benches
SENDLAB := $(CARGO_TARGET_DIR)/release/sendlab

bench-lake: $(CACHE)/lake-venv/ready $(LAKE)/made
	cargo build --release --workspace --bin sendlab
	cargo bench --workspace --bench ingest -- shapes own fresh peers --python $(LAKE_PYTHON)
	rm -rf $(LAKE)/ours $(LAKE)/arrival
	$(LAKE_PYTHON) $(LAKE_BENCHES)/lake_data.py feed $(LAKE)/events --data $(LAKE)/ours --sendlab $(SENDLAB)
	$(LAKE_PYTHON) $(LAKE_BENCHES)/lake_data.py attach $(LAKE)/events --data $(LAKE)/arrival --sendlab $(SENDLAB)
	$(LAKE_PYTHON) $(LAKE_BENCHES)/lake_queries.py --data $(LAKE)/ours --arrival $(LAKE)/arrival --sendlab $(SENDLAB)
	$(LAKE_PYTHON) $(LAKE_BENCHES)/lake_readers.py --data $(LAKE)/ours
	$(LAKE_PYTHON) $(LAKE_BENCHES)/lake_commits.py --folder $(LAKE) --sendlab $(SENDLAB)

AUDIENCE := $(CACHE)/bench-audience

# The importer ends with 2, because three in a hundred rows are broken on purpose.
bench-audience: $(CACHE)/lake-venv/ready $(LAKE)/made
	cargo build --release --workspace --bin sendlab
	rm -rf $(AUDIENCE)
	mkdir -p $(AUDIENCE)
	python3 $(LAKE_BENCHES)/contacts_data.py $(AUDIENCE)/contacts.csv --today $$(date -u +%F)
	$(SENDLAB) import contacts $(AUDIENCE)/contacts.csv --attribute tier,size --data $(AUDIENCE)/data || [ $$? -eq 2 ]
	$(LAKE_PYTHON) $(LAKE_BENCHES)/audience_events.py --data $(AUDIENCE)/data --events $(LAKE)/events --out $(AUDIENCE)/events --sendlab $(SENDLAB)
	$(SENDLAB) import events $(AUDIENCE)/events/*.parquet --data $(AUDIENCE)/data
	$(LAKE_PYTHON) $(LAKE_BENCHES)/segment_counts.py --data $(AUDIENCE)/data --sendlab $(SENDLAB)

READOUT := $(CACHE)/bench-readout

# 50 million events of one experiment: 7 GB in all.
bench-readout: $(CACHE)/lake-venv/ready $(READOUT)/made
	cargo build --release --workspace --bin sendlab
	rm -rf $(READOUT)/data
	$(LAKE_PYTHON) $(LAKE_BENCHES)/lake_readout.py attach $(READOUT)/events --data $(READOUT)/data --sendlab $(SENDLAB)
	$(LAKE_PYTHON) $(LAKE_BENCHES)/lake_readout.py ask --data $(READOUT)/data --sendlab $(SENDLAB)

$(READOUT)/made: $(LAKE_BENCHES)/lake_readout.py $(CACHE)/lake-venv/ready
	$(LAKE_PYTHON) $< make $(READOUT)/events
	touch $@

$(LAKE)/made: $(LAKE_BENCHES)/lake_data.py $(CACHE)/lake-venv/ready
	$(LAKE_PYTHON) $< make $(LAKE)/events --deliveries $(DELIVERIES) --ndjson
	touch $@

$(CACHE)/bench-venv/ready: crates/sendlab/benches/requirements.txt
$(CACHE)/lake-venv/ready: crates/sendlab/benches/lake_requirements.txt
$(CACHE)/%-venv/ready:
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
	@for tool in cargo clippy-driver cc npm; do command -v $$tool >/dev/null || { \
	  echo "make needs $$tool. Install Rust 1.95 (rustup, with clippy), Node.js 20 or newer, and a C compiler: apt-get install gcc libc6-dev"; exit 1; }; done
