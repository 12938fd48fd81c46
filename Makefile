# The two main commands are `make train`, which trains a GAN with negatives on real images, and `make test`, which runs
# the checks. Both first install missing packages into .venv with a single `pip install`. You can repeat them any time.
#
#   make setup            only create the environment (choose with PYTHON=python3.12 and VENV=...)
#   make train            train a recipe that needs no download
#   make test             run the linters and the fast tests
#   make test-slow        run the tests that train models
#   make lint             run ruff, mypy, import-linter and the architecture test
#   make docs             build the documentation site in docs/_build/html
#   make clean            remove caches and build folders; `make distclean` also removes the environment

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
RECIPE ?= nda_biggan_digits
# If a compiled mmcv is already installed, it is kept and mmcv-lite is left out.
EXTRAS ?= all,dev,docs$(if $(wildcard $(VENV)/lib/python*/site-packages/mmcv/_ext.*),,$(COMMA)lite)

COMMA := ,
PY := $(VENV)/bin/python

.PHONY: help setup train test test-slow lint docs clean distclean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: $(VENV)/installed

# The file is written last, so that an interrupted installation is resumed.
$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check --quiet --upgrade pip  # old ones resolve for minutes
	$(PY) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

train: setup
	@$(PY) tools/train.py $(RECIPE) --work-dir work_dirs/$(RECIPE) --resume

test: lint
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) -m "not slow" --doctest-modules tests nda_mm

test-slow: setup
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) -m slow tests

lint: setup
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m pytest -q tests/test_architecture.py

# Warnings are errors. Nothing is downloaded.
docs: setup
	@$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean:
	rm -rf docs/_build docs/auto_gallery docs/api docs/zoo.md build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find nda_mm tools tests configs -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) nda_mm/.mim
