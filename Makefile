# Every target sets itself up first: it makes $(VENV) and installs lossearch with its development tools into it.
# Settings: VENV (where the environment lies), PYTHON (which interpreter makes it), ARGS (more arguments for pytest),
# EXPERIMENTS (names of experiments, in place of all).

VENV ?= .venv
PYTHON ?= python3.11 python3 python3.12 python3.13
ARGS ?=
EXPERIMENTS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-thorough lint format bench experiments docs clean

help:
	@echo "make demo    search a loss on real data, compare it on held-out data, export it, write a report"
	@echo "make test    run the quick tests: a loss of every kind, a case of every feature (ARGS='-k name' for a part)"
	@echo "make test-thorough  run all tests: every loss, every file format, thousands of random graphs, searches that are killed"
	@echo "make lint    check formatting, lint and types"
	@echo "make format  format the sources and mend what the linter can mend safely"
	@echo "make bench   measure speed and overhead"
	@echo "make experiments  run every search of experiments/experiments.toml with its comparison (EXPERIMENTS=name for one);"
	@echo "         goes on where it was interrupted, and writes experiments/RESULTS.md"
	@echo "make docs    write docs/CATALOGUE.md and docs/CONFIGURATION.md from the declarations"
	@echo "make clean   remove build products and caches; keeps runs/ and $(VENV)"

setup: $(STAMP)

# An interrupted install leaves no stamp, so the next call installs again.
$(STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/bin/python:
	@for python in $(PYTHON); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$python -m venv $(VENV)"; exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "lossearch needs Python 3.11 or newer; none of these is: $(PYTHON). Install it, or name one: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

demo: setup
	@PATH="$$(cd "$(BIN)" && pwd):$$PATH" experiments/demo.sh

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

test-thorough: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not network" $(ARGS)

# All three run even if one fails.
lint: setup
	@status=0; \
	for check in "ruff format --check" "ruff check" "pyright --pythonpath $(BIN)/python"; do \
	    echo "$(BIN)/$$check"; $(BIN)/$$check || status=1; \
	done; \
	exit $$status

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m lossearch.experiments.benchmarks

experiments: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m lossearch.experiments $(EXPERIMENTS)

docs: setup
	$(BIN)/python -m lossearch.report.catalogue docs/CATALOGUE.md
	$(BIN)/python -m lossearch.report.configuration_reference docs/CONFIGURATION.md

clean:
	rm -rf build dist lossearch.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks
	find lossearch primitives search_spaces experiments tests -name __pycache__ -type d -prune -exec rm -rf {} +
