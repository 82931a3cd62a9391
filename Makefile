# The tasks of people and CI. They need python3 (3.11 or newer) and make, and install everything else
# from PyPI and Debian, or say in one line what is missing.

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
SYNC := UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --frozen --inexact --quiet --compile-bytecode

export CHAT_DATA ?= data

.PHONY: run dev test check coverage hooks html bench lag fuzz faults soak conformance format clean

run: $(VENV)/.run
	@$(BIN)/chat serve

dev: $(VENV)/.dev
	@$(BIN)/python -m tools.dev

test: $(VENV)/.dev chromium docker-compose
	@$(BIN)/python -m pytest --numprocesses=6 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/python -m pytest -q tests/unit/test_no_javascript.py

# The report appears even if tests fail, because measuring slows some of them down too much.
coverage: $(VENV)/.dev chromium docker-compose
	@$(BIN)/coverage erase
	-@$(BIN)/coverage run -m pytest --numprocesses=6 --dist=loadfile --no-loadscope-reorder $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

hooks: $(VENV)/.dev
	@$(BIN)/pre-commit install

html: $(VENV)/.html
	@command -v java >/dev/null || sh .ci/debian default-jre-headless
	@$(BIN)/python -m tests.html

bench: $(VENV)/.bench
	@$(BIN)/python -m tests.bench $(ARGS)

faults: $(VENV)/.dev
	@ls /usr/lib/*/faketime >/dev/null 2>&1 || sh .ci/debian libfaketime || true
	@command -v tc >/dev/null || sh .ci/debian iproute2 || true
	@$(BIN)/python -m tests.faults $(ARGS)

soak: $(VENV)/.dev
	@$(BIN)/python -m tests.faults.soak $(ARGS)

lag: $(VENV)/.dev
	@$(BIN)/python -m tests.lag $(ARGS)

fuzz: $(VENV)/.fuzz
	@$(BIN)/python -m tests.fuzz $(ARGS)

conformance: $(VENV)/.dev $(VENV)/autobahn
	@$(BIN)/python -m tests.conformance $(ARGS)

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Chat needs Python 3.11 or newer: set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh .ci/debian python3-venv python3-pip
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.run: $(UV) uv.lock pyproject.toml
	@$(SYNC) --no-dev
	@touch $@

$(VENV)/.dev: $(UV) uv.lock pyproject.toml
	@$(SYNC) --group dev
	@touch $@

$(VENV)/.bench: $(UV) uv.lock pyproject.toml
	@$(SYNC) --group dev --group bench
	@touch $@

$(VENV)/.fuzz: $(UV) uv.lock pyproject.toml
	@$(SYNC) --group dev --group fuzz
	@touch $@

$(VENV)/.html: $(UV) uv.lock pyproject.toml
	@$(SYNC) --group dev --group html
	@touch $@

$(VENV)/autobahn:
	@sh .ci/autobahn $(abspath $(VENV))/autobahn

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || sh .ci/debian chromium

.PHONY: docker-compose
docker-compose:
	@command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 \
	  || sh .ci/debian --no-install-recommends docker-compose
