# Every target makes its own environment first, and adds to it only what it needs itself. See README.md.
PYTHON ?= python3
BIN := .venv/bin
GROUPS := test lint notebooks
LOCKS := $(patsubst %,requirements/%.lock,bench $(GROUPS))
# A lock names all that is to be there, so there is nothing to resolve.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --annotation-style line --quiet pyproject.toml --extra build

.PHONY: bench test test-long lint demo notebooks lock clean
# Two groups must not be installed at the same time.
.NOTPARALLEL:

bench: .venv/ready-bench
	$(BIN)/wirelab bench $(SCENARIO)

test: .venv/ready-test
	$(BIN)/python -m pytest

test-long: .venv/ready-test
	$(BIN)/python -m pytest -m long
	$(BIN)/python tests/breaks.py

lint: .venv/ready-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: .venv/ready-bench
	$(BIN)/wirelab demo

notebooks: .venv/ready-notebooks
	$(BIN)/jupyter lab notebooks

# Compiling is not left to pip, which uses one core for it, nor to the first import: a server that compiles as it
# starts has memory to spare, and its subscribers would seem to cost less. What packages test themselves with is left out.
.venv/ready-bench: $(LOCKS) pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(INSTALL) --no-compile --require-hashes -r requirements/bench.lock
	$(INSTALL) --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 0 -x '/tests/' .venv/lib
	touch $@

$(GROUPS:%=.venv/ready-%): .venv/ready-%: .venv/ready-bench
	$(INSTALL) --require-hashes -r requirements/$*.lock
	touch $@

# Needs uv; run it after changing the dependencies in pyproject.toml. Each lock follows the one before it.
lock:
	$(COMPILE) -o requirements/bench.lock
	$(COMPILE) -c requirements/bench.lock --extra test -o requirements/test.lock
	$(COMPILE) -c requirements/test.lock --extra lint -o requirements/lint.lock
	$(COMPILE) -c requirements/test.lock --extra notebooks -o requirements/notebooks.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
