# Everything runs in .venv. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SPEED ?= 725

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-local test bench docs dist clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: .venv/.dev-stamp  ## make .venv with all that development needs; cheap when nothing changed

demo: .venv/.run-stamp  ## cook leek soup with parallel calls: no key, no network, 29 minutes of work in a few seconds
	$(BIN)/agentflow run examples/kitchen.yaml --no-journal --speed $(SPEED)

demo-local: .venv/.local-stamp  ## stream, constrain and interrupt a small model on this machine; fetches 130 MB once
	$(BIN)/agentflow models pull smollm2-135m --quiet > /dev/null
	$(BIN)/python examples/local.py

test: .venv/.dev-stamp  ## run every check: tests, types, lint, layers, docs
	@$(MAKE) --no-print-directory .venv/.local-stamp || echo "no local model here: its tests are skipped"
	$(BIN)/python -m pytest -n 3 --dist loadfile

bench: .venv/.dev-stamp  ## measure every suite and write the reports in benchmarks/results
	$(BIN)/agentflow bench foundation
	$(BIN)/agentflow bench asynclm
	$(BIN)/agentflow bench asynchow
	$(BIN)/agentflow bench endpoints
	$(BIN)/agentflow bench plans
	$(BIN)/agentflow bench batch
	$(BIN)/agentflow bench robotouille
	$(BIN)/agentflow bench dual
	$(BIN)/agentflow bench tournament
	$(BIN)/agentflow bench review
	$(BIN)/python -m pytest -m slow

docs: .venv/.docs-stamp  ## build the documentation site into site/
	$(BIN)/mkdocs build --strict

dist: .venv/.dev-stamp  ## build the wheel and the source archive into dist/
	$(BIN)/python -m build --no-isolation .

clean:  ## remove .venv and all that was built
	rm -rf .venv dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "agentflow needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/.run-stamp: pyproject.toml | .venv/bin/python
	$(PIP) install -e .
	touch $@

.venv/.dev-stamp: pyproject.toml | .venv/bin/python
	$(PIP) install -e '.[dev]'
	touch .venv/.run-stamp $@

# The prebuilt wheel, or none: building llama.cpp from source would take many minutes.
.venv/.local-stamp: pyproject.toml | .venv/bin/python
	$(PIP) install --only-binary xllamacpp -e '.[local]'
	$(PIP) install --only-binary ik-llama-cpp-python,numpy -e '.[inflight]' || echo "no engine in this process: its tests are skipped"
	$(BIN)/agentflow models pull smollm2-135m --quiet > /dev/null
	touch .venv/.run-stamp $@

.venv/.docs-stamp: pyproject.toml | .venv/bin/python
	$(PIP) install -e '.[docs]'
	touch .venv/.run-stamp $@
