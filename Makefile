# make test | demo | lint | kernels | soak | fuzz | sanitize.   Needs Python 3.11+, make and (for speed) a C++17 compiler.
PYTHON ?= python3
PYTEST_ARGS ?= -n auto
VENV := .venv
STAMP := $(VENV)/.stamp
BIN := $(VENV)/bin

.PHONY: test demo lint kernels soak fuzz sanitize clean

test: lint
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary

demo: $(STAMP)
	@$(BIN)/bigrain demo

# The long runs, one after another, each ended after SOAK_SECONDS at the latest. What they say is in
# build/soak/, their figures are in benchmarks/trust/results/.
SOAK_SECONDS ?= 3600
soak: $(STAMP)
	@mkdir -p build/soak; failed=0; printf '%-10s %8s  %-6s  %s\n' script seconds result 'last words'; \
	for script in tests/soak/*.py; do \
	  name=$$(basename $$script .py); log=build/soak/$$name.log; began=$$(date +%s); \
	  if timeout $(SOAK_SECONDS) $(BIN)/python $$script >$$log 2>&1; \
	  then result=ok; else result=FAILED; failed=1; fi; \
	  seconds=$$(( $$(date +%s) - began )); \
	  printf '%-10s %8d  %-6s  %s\n' $$name $$seconds $$result "$$(tail -n 1 $$log)"; \
	done; exit $$failed

# Every parser on mutated input, FUZZ_SECONDS each; guided by coverage where atheris is installed.
FUZZ_SECONDS ?= 30
fuzz: $(STAMP)
	@$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, every level of instructions, in
# an environment of their own: their tests, then the fuzz targets that reach them. Needs GCC.
SANITIZED := build/sanitize
sanitize: export ASAN_OPTIONS = detect_leaks=0:halt_on_error=1:allocator_may_return_null=1
sanitize: export UBSAN_OPTIONS = halt_on_error=1:print_stacktrace=1
sanitize: export PYTHONMALLOC = malloc
sanitize: export CI = 1
sanitize:
	@test -x $(SANITIZED)/bin/python || $(PYTHON) -m venv $(SANITIZED)
	@$(SANITIZED)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -C cmake.define.BIGRAIN_SANITIZE=ON --force-reinstall --no-deps .
	@$(SANITIZED)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  numpy click rich PyStemmer pypdf selectolax scipy pytest hypothesis
	@libraries="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)"; \
	LD_PRELOAD="$$libraries" $(SANITIZED)/bin/python -c \
	  "from bigrain.kernels import available_levels as levels; print(*levels()); assert len(levels()) > 1" && \
	LD_PRELOAD="$$libraries" $(SANITIZED)/bin/python -m pytest -p no:cacheprovider tests/kernels && \
	LD_PRELOAD="$$libraries" $(SANITIZED)/bin/python tests/fuzz/run.py --no-record \
	  --seconds $(FUZZ_SECONDS) --only forged-,token-,wordpiece,vocabulary,encoder,segment-

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
