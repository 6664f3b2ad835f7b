# Everything here runs in a virtual environment in .venv, made from the locked requirements.

PYTHON ?= python3
DURATION ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := orderd engine
CHECKED := $(PACKAGES) tests $(wildcard benchmarks)

LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header

# Recordings of real markets, where they are at hand.
ifndef ORDERD_TEST_DATA
ifneq ($(wildcard ../shared/data),)
export ORDERD_TEST_DATA := $(abspath ../shared/data)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help run test lint bench clean lock

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(READY) ## a daemon, an engine and a few clients, shown live until Ctrl-C, or for DURATION=seconds
	$(BIN)/orderctl demo $(if $(DURATION),--duration $(DURATION))

test: $(READY) ## the test suite, with real Redis clients
	.ci/redis-tools
	$(BIN)/python -m pytest -q

lint: $(READY) ## style, types, who imports whom, systemd units
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports
	.ci/check-units

bench: $(READY) ## measurements on this machine
	$(BIN)/python -m benchmarks

lock: $(READY) ## newest versions into the locked requirements
	$(LOCK) --upgrade --output-file requirements.txt
	$(LOCK) --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt

clean: ## removes what the other targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
