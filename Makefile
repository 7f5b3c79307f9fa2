# Every target works as any user, without root. The virtual environment is .venv; a stamp in it for each
# set of extras makes a second call instant, and pyproject.toml or constraints.txt newer than it repeats it.
#
#   make demo                      a first study on MNIST, with its report
#   make test                      the whole suite but the slow part
#   PYTHON=/path/to/python make demo     with this interpreter

PYTHON ?= python3.11 /usr/bin/python3.11 python3.12 python3.13 python3
EXTRAS_demo := openvino,onnx,plot
EXTRAS_dev := dev
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -c constraints.txt
TORCH := $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
# two processes, a file to one of them, each with a thread: two that wait for each other's threads spin; the long files
# of few tests come before the short ones of many, or one process waits for the other at the end
TESTED := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test coverage slow check docs clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: .venv/.demo ## install what it needs, then study recipes/quickstart.toml: train, compress, export, measure, predict
	$(BIN)/netwright study recipes/quickstart.toml

test: .venv/.dev ## install all extras, then the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTED)

coverage: .venv/.dev ## the test suite again, with coverage, which takes half as long again; fails below 85 %
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTED) --cov --cov-report=term

slow: .venv/.dev ## the tests that take minutes, and the property tests with many more examples
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile=thorough

check: .venv/.dev ## format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.dev ## build the documentation into site/
	$(BIN)/mkdocs build --strict

clean: ## remove caches and builds; .venv and runs/ stay
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first and alone: a resolver left to choose takes a newer build and gigabytes of CUDA with it
.venv/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) $(TORCH)
	$(PIP) -e '.[$(EXTRAS_$*)]'
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON); do \
	    if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	        found=$$python; \
	        if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	            "$$python" -m venv .venv && exit 0; rm -rf .venv; exit 1; \
	        fi; \
	    fi; \
	done; \
	if [ -n "$$found" ]; then \
	    echo "make: $$found has no module venv. On Debian: apt-get install python3-venv" >&2; \
	else \
	    echo "make: netwright needs Python 3.11, 3.12 or 3.13, and none was found. Install one, or name it: PYTHON=/path/to/python make demo" >&2; \
	fi; exit 1
