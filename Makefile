# Two commands do all set-up: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo dev test check bench faults fuzz covers lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## real servers, sample data, one pass through everything, a summary
	$(BIN)/python -m pipeline_engine demo

dev: $(READY) ## the daemon on embedded servers, until Ctrl-C
	$(BIN)/python -m pipeline_engine dev

test: $(READY) check ## everything that must hold before a change lands
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow"

check: $(READY) covers ## types, style, layers, checklist
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

covers: $(READY) ## rows of the checklist that no test names
	$(BIN)/python -m tests.covers

bench: $(READY) ## the figures of docs/benchmarks.md, as ratios
	$(BIN)/python -m bench --write

faults: $(READY) ## the long fault runs as well
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/faults
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow tests/integration tests/acceptance
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/unit --hypothesis-profile thorough

fuzz: $(READY) ## five minutes of random mutants beside healthy neighbours (FUZZ_SECONDS, FUZZ_SEED, FUZZ_ONLY, FUZZ_KINDS)
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) $(BIN)/python -m pytest tests/faults/test_fuzz.py

lock: ## a new locked set of versions (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade \
	  --extra embedded --group dev pyproject.toml -o requirements.lock

clean: ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
