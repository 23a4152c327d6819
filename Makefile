# FAPS Node: every task is one command. `make` alone lists them.
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3.11
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
# Tests marked slow are left to `make test-all`. Two processes, each with peers of its own.
PYTEST = $(BIN)/python -m pytest
TOGETHER = -n 2 --dist loadgroup --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all mutants faults soak fuzz bench bench-decode bench-ingest bench-sending check lint types arch fmt migration peers clean

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
	$(PYTEST) -m "not slow" $(TOGETHER)

test-all: setup ## The slow tests too, with viewers and more validators
	@bash deploy/install-peers.sh deploy/apt-test.txt deploy/apt-test-slow.txt
	$(PYTEST)

mutants: setup ## Mutants of lease, outbox, limits and path code (half an hour; results in mutants/)
	TMPDIR=$${TMPDIR:-/dev/shm} $(BIN)/python -m mutmut run --max-children 1
	$(BIN)/python -m mutmut results

faults: setup peers ## Faults at seeded moments, audited: make faults N=1000, SEED=17, PAIRS=1
	@$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED),--runs $(or $(N),40)) $(if $(PAIRS),--pairs) --lanes $(or $(LANES),2)

soak: setup peers ## 1,200 small exams, a fault a minute: make soak EXAMS=200 shortens it
	@$(BIN)/python -m tests.faults.soak --exams $(or $(EXAMS),1200)

fuzz: setup ## Hostile bytes guided by coverage, then associations: make fuzz SECONDS=60 SESSIONS=2000
	@nice $(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)
	@nice $(BIN)/python -m tests.fuzz.live --sessions $(or $(SESSIONS),2000)

bench: setup ## Timings beside a peer: medians, no assertion
	PYTHONPATH=. $(BIN)/python tests/benchmarks/dead_branches.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/encoding.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/keeping.py

bench-ingest: setup ## How fast objects are received, beside DCMTK and Orthanc, in turns
	PYTHONPATH=. $(BIN)/python tests/benchmarks/ingest.py

bench-decode: setup ## Reading of images in every syntax, beside pydicom's own way
	PYTHONPATH=. $(BIN)/python tests/benchmarks/decode.py

bench-sending: setup ## How fast results go out, beside DCMTK's storescu
	PYTHONPATH=. $(BIN)/python tests/benchmarks/sending.py

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
	rm -rf $(VENV) build dist *.egg-info demo-data .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants
