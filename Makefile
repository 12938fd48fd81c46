# Two commands: `make train` installs everything and trains a GAN with negatives on real images; `make test` installs what
# is missing and runs every check. Both may be run again and again, and an interrupted set-up is repaired by the next one.
#
#   make setup            the environment alone, in .venv (PYTHON=..., VENV=... to choose)
#   make train            the recipe that needs no download
#   make test             lint, all tests
#   make test-fast        the tests that take seconds
#   make test-slow        the tests that train
#   make lint             ruff, mypy, import-linter, the architecture test
#   make clean            caches and build folders; `make distclean` removes the environment too
#
# mmcv is built on this machine, against the torch that is installed. With a CUDA compiler and a GPU it gets its CUDA
# operators too; MMCV_CUDA=1 asks for them where there is no GPU (a login node), MMCV_CUDA=0 does without.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
MMCV_CUDA ?= auto
JOBS ?= 2
RECIPE ?= nda_biggan_digits

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
STAMPS := $(VENV)/.stamps
pin = $(shell sed -n 's/^\($(1)==[^ ;]*\).*/\1/p' constraints.txt | head -n 1)
TORCH := $(call pin,torch)
MMCV := $(call pin,mmcv)

# A stamp is named after what it stands for, so that another pin is another stamp.
TORCH_STAMP := $(STAMPS)/$(subst ==,-,$(TORCH))
MMCV_STAMP := $(STAMPS)/$(subst ==,-,$(MMCV)-on-$(TORCH))
ALL_STAMP := $(STAMPS)/all-$(shell cat constraints.txt setup.py | cksum | cut -d ' ' -f 1)

.PHONY: help setup venv installed train test test-fast test-slow lint clean distclean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: venv
	@$(MAKE) installed

# Looked at afresh each time: an environment that was half made, or moved, has no working pip and is made again. One that
# works is kept, whoever made it.
venv:
	@if [ -e $(VENV)/pyvenv.cfg ] && $(PIP) --version >/dev/null 2>&1; then mkdir -p $(STAMPS); exit 0; fi
	found=
	for python in $${PYTHON:-python3 python3.11 python3.12 python3.10}; do
	  if "$$python" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
	    found=$$python; break
	  fi
	done
	if [ -z "$$found" ]; then
	  echo "nda_mm needs Python 3.10, 3.11 or 3.12 with its venv module; found $$("$${PYTHON:-python3}" --version 2>&1 || true)." >&2
	  echo "Name one: make setup PYTHON=/path/to/python3.11" >&2
	  exit 1
	fi
	echo "== environment $(VENV), $$("$$found" --version)"
	"$$found" -m venv --clear $(VENV)
	$(PIP) install --quiet --upgrade pip
	mkdir -p $(STAMPS)

.ONESHELL:

installed: $(ALL_STAMP)
	@if [ "$(MMCV_CUDA)" != auto ] && ! grep -qx "asked $(MMCV_CUDA)" $(MMCV_STAMP); then
	  rm -f $(MMCV_STAMP)
	  $(MAKE) $(MMCV_STAMP)
	fi

$(TORCH_STAMP):
	@echo "== $(TORCH), and what mmcv needs to be built and imported"
	$(PIP) install --quiet -c constraints.txt torch torchvision setuptools wheel ninja psutil mmengine opencv-python
	$(PY) tools/check_install.py --repair
	$(PY) -c 'import torch, torchvision'
	touch $@

$(MMCV_STAMP): $(TORCH_STAMP)
	@$(PY) tools/build_mmcv.py $(MMCV) --cuda $(MMCV_CUDA)
	echo "asked $(MMCV_CUDA)" > $@

$(ALL_STAMP): $(MMCV_STAMP)
	@echo "== the hosts, nda_mm and the tools of its checks"
	$(PIP) install --quiet -c constraints.txt -e '.[all,dev]'
	$(PY) tools/check_install.py --repair
	$(PY) -m nda_mm.compat torch mmengine mmcv mmagic mmpretrain mmdet mmaction2
	rm -f $(STAMPS)/all-*
	touch $@

train: setup
	@$(PY) tools/train.py configs/$(RECIPE).py --work-dir work_dirs/$(RECIPE) --resume
	echo
	echo "Pictures: $$(ls -t work_dirs/$(RECIPE)/samples/*.png 2>/dev/null | head -n 1) (samples; earlier ones beside it)"
	echo "          $$(ls work_dirs/$(RECIPE)/negatives.png 2>/dev/null) (real images beside their negatives)"
	echo "Numbers:  $$(ls -t work_dirs/$(RECIPE)/*/vis_data/scalars.json 2>/dev/null | head -n 1) (also for TensorBoard, beside it)"
	echo "Run again, this continues where it stopped; remove work_dirs/$(RECIPE) to train anew."

test: lint test-fast test-slow

test-fast: setup
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) -m "not slow" --doctest-modules tests nda_mm

test-slow: setup
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) -m slow tests

lint: setup
	@$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -q tests/test_architecture.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find nda_mm tools tests configs -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) nda_mm/.mim
