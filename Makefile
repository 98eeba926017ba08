.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPARK := $(VENV)/.spark
export POLARS_MAX_THREADS ?= 2
export OMP_NUM_THREADS ?= 2

.PHONY: help setup demo test test-spark test-all lint types docs real quality bench clean

help: ## list what make can do
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## make the virtual environment and install GraphGuard with its development tools

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip setuptools wheel
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

$(SPARK): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[spark]'
	touch $(SPARK)

demo: $(READY) ## make a small platform's logs and run a night on them; ends with the report's path
	$(BIN)/graphguard world --users 20000 --days 70 --seed 7 --out demo/world
	$(BIN)/graphguard nightly --config configs/demo.yaml
	@echo "report: $$($(BIN)/graphguard runs report --config configs/demo.yaml)"

test: $(READY) ## run the tests, without those marked slow or spark
	$(BIN)/python -m pytest -m 'not slow and not spark' -n 2 --dist worksteal

test-spark: $(SPARK) ## install Spark (456 MB) and run its tests on a cluster on this machine; needs Java 17
	$(BIN)/python -m pytest -m spark

test-all: test-spark ## run all tests, slow ones and Spark's too
	$(BIN)/python -m pytest -m 'not spark' -n 2 --dist worksteal

lint: $(READY) ## check form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## check types, strictly, on the built package
	rm -rf build/types && $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/types .
	cd build/types && ../../$(BIN)/python -m zipfile -e graphguard-*.whl tree
	cd build/types/tree && ../../../$(BIN)/mypy --config-file ../../../pyproject.toml -p graphguard

docs: $(READY) ## write the parts of the documentation that are made from the code
	$(BIN)/graphguard settings --write docs/configuration.md

real: $(READY) ## run the real log (folder in GRAPHGUARD_DATA)
	$(BIN)/python benchmarks/real.py

quality: $(READY) ## the whole table of quality on the real sets; hours, and goes on where it was stopped
	$(BIN)/python benchmarks/quality.py --family all --split all

bench: $(READY) ## run the benchmarks that need no data, at a small size
	$(BIN)/python benchmarks/build.py --events 1000000 --rounds 1
	$(BIN)/python benchmarks/incremental.py --events 1000000 --rounds 1
	$(BIN)/python benchmarks/nightly.py --events 1000000
	$(BIN)/python benchmarks/world.py --seeds 7
	$(BIN)/python benchmarks/near_duplicates.py --texts 20000
	$(BIN)/python benchmarks/sampling.py --edges 1000000
	$(BIN)/python benchmarks/training.py --edges 1000000 --rows 10000

clean: ## remove what make made
	rm -rf build demo real $(VENV)
