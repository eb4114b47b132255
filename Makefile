# Each target sets up what it needs. Another Python or fewer cores: make run PYTHON=python3.12 CORES=2
PYTHON ?= python3
CORES ?= all
# Tests at a time. More than four gain nothing: a file's tests follow each other, and the longest file takes as long.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help install run test faults studies lint bench clean
.DEFAULT_GOAL := help
# Python keeps what it has compiled, whatever the environment says: a study starts over a hundred processes, and each
# would compile all modules again, which takes as long as to draw a figure.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## set up the environment in .venv, and nothing else

run: $(INSTALLED) ## run the default study on the bundled model, and say where the reports are
	$(BIN)/snakemake --cores $(CORES) --quiet host rules reason
	@echo
	@echo "Done. The reports, each one HTML file:"
	@ls -1 results/report/report.html results/p1_baseline/bundled/report/report.html results/p2/bundled/report/report.html
	@echo "All tables, figures and reports in one archive:"
	@ls -1 results/archive/critical_weight_analysis_complete.zip

test: $(INSTALLED) ## run the tests
	$(BIN)/pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder

faults: $(INSTALLED) ## kill, starve and damage every stage in turn (half an hour); its table is docs/faults.md's
	rm -f .pytest_cache/faults.jsonl && mkdir -p .pytest_cache
	FAULTS=1 FAULT_CASES=$(CURDIR)/.pytest_cache/faults.jsonl $(BIN)/pytest -q tests/test_faults.py tests/test_slurm.py
	$(BIN)/python tests/fault_table.py .pytest_cache/faults.jsonl

studies: $(INSTALLED) ## run the founding study with tiny stand-ins for its models (some minutes)
	STUDIES=1 $(BIN)/pytest -q tests/test_founding_study.py

lint: $(INSTALLED) ## check style and docstrings, of the workflow too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: $(INSTALLED) ## measure speed and memory
	$(BIN)/python tests/benchmarks/run.py

clean: ## delete the environment and all caches; results stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis workflow/scripts/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: there is no $(PYTHON). Name a Python of 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python 3.11 or later is needed, $(PYTHON) is " \
	  + sys.version.split()[0] + ". Name another one: make $(MAKECMDGOALS) PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
