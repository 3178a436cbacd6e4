# Everything runs in .venv. Two stamps remember what is installed there:
# `demo` needs the package and its shell, `test` the extras and the tools as well.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test compiled lint check format bench docs grammar clean

help:
	@echo "make demo      create .venv, install sqlml, and run the main job on real data"
	@echo "make test      install the extras and the tools, and run the tests"
	@echo "make compiled  run the tests of the SQL layer with the compiled build of sqlglot"
	@echo "make check     formatting, linters, types, import contracts, tests"
	@echo "make format    write the formatting"
	@echo "make bench     run every benchmark at a small size"
	@echo "make docs      write docs/ and the tables of the README again"
	@echo "make grammar   write the parser's tables after a change of the grammar"
	@echo "make clean     remove caches and .venv"

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/installed-demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing sqlml into .venv (a few minutes the first time)"
	@$(PIP) -e ".[shell]"
	@touch $@

# torch goes first and alone, so that the constrained version is the one that everything else finds.
.venv/installed-test: .venv/installed-demo pyproject.toml constraints.txt
	@echo "installing the extras and the tools into .venv"
	@$(PIP) torch
	@$(PIP) -e ".[all,dev]"
	@touch $@

demo: .venv/installed-demo
	@$(BIN)/python -m sqlml.demo

test: .venv/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

# sqlglot takes its compiled build wherever it is installed, so that build must pass as well.
.venv/installed-compiled: .venv/installed-test
	@$(PIP) --no-deps --target .venv/compiled --upgrade sqlglot sqlglotc
	@touch $@

compiled: .venv/installed-compiled
	PYTHONPATH=.venv/compiled $(BIN)/python -m pytest -n $(WORKERS) -p no:cacheprovider \
	  tests/translate tests/grammar tests/transform tests/script

lint: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint test

format: .venv/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed-test
	$(BIN)/python -m benchmarks.run all --rows 200000 --repeat 1

docs: .venv/installed-test
	$(BIN)/python docs/generate.py

grammar: .venv/installed-test
	$(BIN)/python -c "from sqlml.grammar import tables; tables.write()"

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
