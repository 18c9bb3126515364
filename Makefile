# One way in for people who work on Headrace. `make` alone prints the targets.
#
# A fresh machine needs python3 (3.11 or newer, with venv) and make. Everything else is installed into .venv the first
# time any target needs it, and again whenever pyproject.toml changes. The embedded Kafka goes to the user's cache
# (HEADRACE_CACHE_DIR) on first use; nothing else is written outside this folder.

SHELL := /bin/sh
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/.installed
# Processes for the tests that need no broker: one a core, but not more than eight (each imports the whole engine).
JOBS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$cores -gt 8 ] && cores=8; echo $$cores)
# Processes for the tests on a real Kafka: each has a broker of its own, and most of the time waits for it.
BROKERS ?= 2
# How many simulated worlds to run, and the seed of the first. A fresh seed unless one is given.
N ?= 20
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')

export STAY
# Compiled code is kept, whatever the environment says: the tests start hundreds of processes, each of which would take
# most of a second more.
export PYTHONDONTWRITEBYTECODE :=
# The brokers of tests live for seconds: code that Java compiles with all its art would not pay any more.
test test-all test-sdk test-slow: export KAFKA_OPTS := -XX:TieredStopAtLevel=1

.PHONY: help setup demo example test test-all test-sdk test-slow check fix simulate bench clean

help: ## print the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (every other target does it by itself)

# python3 if it is new enough, else a newer one that lies beside it; 3.14 comes last because its wheels are the rarest.
$(STAMP): pyproject.toml
	@set -e; \
	found=; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
	    if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        found=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "Headrace needs Python 3.11 or newer with its venv module. Found: $$(python3 --version 2>&1 || true)" >&2; \
	    echo "python3 and python3.11 to python3.14 are looked for on PATH; another is named by make PYTHON=/path/to/it" >&2; \
	    echo "On Debian and Ubuntu venv is a package of its own: apt install python3-venv" >&2; \
	    exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "Creating .venv with $$("$$found" --version) ..."; \
	    "$$found" -m venv --clear .venv; \
	fi; \
	echo "Installing Headrace and its tools into .venv (a minute or so) ..."; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[kafka,dev]'; \
	touch $(STAMP)

demo: $(STAMP) ## run the orders example from its first event to its result (STAY=1 keeps it up to look around)
	$(BIN)/python examples/orders/demo.py

example: $(STAMP) ## run one example on a real Kafka (NAME=welcome; without a name it lists them)
	$(BIN)/python -m examples.run $(NAME)

# Each part has pytest's own summary. What measures time (the marker `alone`) is kept away from everything else. The
# Python SDK's tests run twice: as the test kit does it, with every function replayed at every step boundary, and with
# code that stays in memory, as in a node that has room for it.
test: $(STAMP) ## run the tests, all but the slow ones
	@echo "== tests that need no broker, in $(JOBS) processes"
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal -m "not kafka and not slow"
	@echo "== the Python SDK once more, its code kept in memory between steps"
	HEADRACE_EVICT=never $(BIN)/python -m pytest tests/sdk_python -m "not slow"
	@echo "== tests on a real Kafka, in $(BROKERS) processes"
	$(BIN)/python -m pytest --numprocesses=$(BROKERS) --dist=worksteal -m "kafka and not slow and not alone" \
	    --ignore=tests/sdk --durations=10
	@echo "== those that measure time"
	$(BIN)/python -m pytest -m "kafka and not slow and alone" --ignore=tests/sdk

# Apps of Inngest's SDKs share a server, and mostly wait: they are tested beside the slow tests, which step aside.
test-all: $(STAMP) ## run the slow tests, which `make test` leaves out, and those of the SDKs of Inngest
	@$(MAKE) --no-print-directory --jobs=2 test-sdk test-slow
	@echo "== slow tests that measure time"
	$(BIN)/python -m pytest -m "kafka and slow and alone" --ignore=tests/sdk --durations=5

test-sdk: $(STAMP) ## run the tests of apps of Inngest's SDKs on a real Kafka, in one process
	$(BIN)/python -m pytest tests/sdk --durations=10

test-slow: $(STAMP) ## run the slow tests that measure no time, in two processes
	nice -n 10 $(BIN)/python -m pytest --numprocesses=$(BROKERS) --dist=worksteal -m "slow and not (kafka and alone)" \
	    --ignore=tests/sdk --durations=10

check: $(STAMP) ## format, lint and types: says what is wrong, changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(STAMP) ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

simulate: $(STAMP) ## simulated clusters under faults (N=20 worlds, SEED=1234 replays one)
	$(BIN)/python -m tests.simulation --runs $(N) --seed $(SEED)

bench: $(STAMP) ## measure throughput and latency; results go to benchmarks/results/
	$(BIN)/python -m benchmarks

clean: ## remove caches and build products (delete .venv yourself to start afresh)
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
