# Each target works as the first command on a fresh machine with Python >= 3.11 and make: what it needs is installed
# into .venv first. `make PYTHON=python3.12 ...` chooses another Python.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check fmt bench sample-data clean

help:
	@echo "make demo         a raw recording becomes a sample set and a voice at the sandbox"
	@echo "make test         the tests, without the slow ones"
	@echo "make test-slow    all tests, the slow ones too (minutes)"
	@echo "make check        ruff and mypy, as CI runs them"
	@echo "make fmt          format, and fix what can be fixed by itself"
	@echo "make bench        measure speed, quality and memory beside the budgets (one to two hours)"
	@echo "make sample-data  make sample_data/ anew (needs espeak-ng)"
	@echo "make clean        remove all that make and the tools made here, .venv included"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "voxprep needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "If a newer one has another name, say so: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "creating $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "this Python cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; \
			exit 1; }; \
		$(PYTHON) -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "installing voxprep and what it needs into $(VENV) (1 to 5 min)"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[dev]' \
		> $(VENV)/install.log 2>&1 & pid=$$!; seconds=0; \
	while kill -0 $$pid 2>/dev/null; do \
		sleep 1; seconds=$$((seconds + 1)); \
		if [ $$((seconds % 15)) -eq 0 ]; then echo "  still installing, $$seconds s"; fi; \
	done; \
	wait $$pid || { tail -n 30 $(VENV)/install.log >&2; echo "installing failed; all of it: $(VENV)/install.log" >&2; exit 1; }
	@touch $@

demo: $(READY)
	@$(BIN)/python -m pipelines.demo

test: $(READY)
	@echo "running the tests (slow ones left out; see make test-slow)"
	@$(BIN)/python -m pytest

test-slow: $(READY)
	@echo "running all tests, the slow ones too"
	@$(BIN)/python -m pytest -m "slow or not slow"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	@$(BIN)/python -m benchmarks

sample-data: $(READY)
	@command -v espeak-ng >/dev/null || { \
		echo "sample data is spoken by espeak-ng, which is not here. On Debian or Ubuntu: apt-get install espeak-ng" >&2; \
		exit 1; }
	@$(BIN)/python sample_data/make.py

clean:
	@echo "removing $(VENV), caches and build outputs"
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist out demo *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
