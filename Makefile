# FAPS Node: every task is one command. `make` alone lists them.
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3.11
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
# -j where a second core helps; tests marked slow are left to `make test-all`.
PYTEST = $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all bench check lint types arch fmt migration peers clean

help: ## List the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment and install everything

$(STAMP): pyproject.toml deploy/constraints.txt
	@bash deploy/make-venv.sh $(PYTHON) $(VENV)
	$(PIP) install --quiet --constraint deploy/constraints.txt torch
	$(PIP) install --quiet --constraint deploy/constraints.txt --editable '.[dev]'
	@touch $@

run: setup ## Set up, then a trial: one synthetic exam through the node into a small PACS
	$(BIN)/dicom-node demo

peers: ## Install the programs that tests talk to (Debian, as root)
	@bash deploy/install-peers.sh

test: setup peers ## Set up and run the tests
	$(PYTEST) -m "not slow"

test-all: setup ## The slow tests too, with viewers and more validators
	@bash deploy/install-peers.sh deploy/apt-test.txt deploy/apt-test-slow.txt
	$(PYTEST)

bench: setup ## Timings beside a peer: medians, no assertion
	PYTHONPATH=. $(BIN)/python tests/benchmarks/dead_branches.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/encoding.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/keeping.py

check: setup lint types arch ## Lint, types, architecture

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

arch:
	$(BIN)/lint-imports
	$(PYTEST) -q tests/architecture

fmt: setup ## Format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

migration: setup ## New database revision: make migration m="what it does"
	$(BIN)/python migrations/new.py "$(m)"

clean: ## Remove what `make` made
	rm -rf $(VENV) build dist *.egg-info demo-data .pytest_cache .mypy_cache .ruff_cache .hypothesis
