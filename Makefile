# make demo: the whole job on handwritten digits.   make test: everything that is checked.
PYTHON ?= python3
BIN := .venv/bin
STORE ?= ./store
SOURCES := analysis benchmarks cluster search_spaces tests trainables zoo zooscale

.PHONY: help demo test check clean

help:
	@echo "make demo    set up .venv and run the whole job on handwritten digits into $(STORE)"
	@echo "make test    set up .venv for development and run every check and test"
	@echo "make check   format, lint and types only"
	@echo "make clean   remove .venv and what tools leave behind; the store stays"

demo: .venv/installed
	$(BIN)/zooscale demo --store $(STORE)
	@echo "other commands: source $(BIN)/activate, then zooscale --help"

# One thread each: processes side by side wait for each other where each has a thread for every core.
test: export OMP_NUM_THREADS = 1
test: check
	$(BIN)/pytest -m "slow or not slow" -n auto --dist loadfile --no-loadscope-reorder --durations 20

check: .venv/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	$(PYTHON) -c "import sys; sys.exit(None if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed: make PYTHON=...')"
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv, which takes a few minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@
