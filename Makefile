# make test | demo | lint | kernels.   Needs Python 3.11+, make and (for speed) a C++17 compiler.
PYTHON ?= python3
PYTEST_ARGS ?= -n auto
VENV := .venv
STAMP := $(VENV)/.stamp
BIN := $(VENV)/bin

.PHONY: test demo lint kernels clean

test: lint
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary

demo: $(STAMP)
	@$(BIN)/bigrain demo

# Rebuild the native kernels even if nothing seems to have changed.
kernels:
	@rm -f $(STAMP)
	@$(MAKE) --no-print-directory $(STAMP)

# Editable: edits of Python files show at once; edits of native/ rebuild.
$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*.* native/*/*)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
