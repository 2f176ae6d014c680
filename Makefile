# Every target does its own set-up: a clean machine needs Python 3.10 or newer, make and pip's registry.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[serve]' --group dev
	touch $@

install: $(READY)  ## make .venv with flatshot (editable) and the developers' tools

demo: $(READY)  ## export, convert, benchmark and draw with the detector that comes along
	$(BIN)/python -m flatshot demo -o out/demo

test: $(READY)  ## run every test (FLATSHOT_TEST_DATA=DIR adds those on real data)
	$(BIN)/python -m pytest -n 2

quick: $(READY)  ## run the everyday tests, in under a minute
	$(BIN)/python -m pytest -n 2 -m "not slow and not network"

versions: $(READY)  ## run the everyday tests on the oldest and the newest Python here too
	set -e; $(BIN)/python -m tests.pythons >$(VENV)/pythons; \
	while read -r version python; do \
	    $(MAKE) quick PYTHON="$$python" VENV=$(VENV)-$$version </dev/null; \
	done <$(VENV)/pythons

check: $(READY)  ## ruff, format, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

SEED  ?= 1
COUNT ?= 20000
fuzz: $(READY)  ## attack every reader with COUNT inputs made from SEED; figures, faults
	$(BIN)/python -m tests.campaign --seed $(SEED) --count $(COUNT)

bench: $(READY)  ## print tables of speed and memory ratios
	$(BIN)/python -m bench

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) $(VENV)-3.* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: fuzz help install demo test quick versions check format bench clean
