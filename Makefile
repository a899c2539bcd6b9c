# The newest supported Python that can create virtual environments; override with make PYTHON=...
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$python -c 'import ensurepip, venv' 2>/dev/null && echo $$python && break; done)
BIN = .venv/bin
PIP_FLAGS = --quiet --disable-pip-version-check
# pip compiles what it installs, but not an editable install. Where PYTHONDONTWRITEBYTECODE is set,
# as in many images, each start of the tap would compile it again.
PACKAGES = tap_intercom intercom_sandbox
.PHONY: help check targets test e2e test-lowest coverage lint format docs release-check demo bench soak clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.venv/.installed: setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(PIP_FLAGS) -e '.[dev]'
	$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

lint: .venv/.installed ## run ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: lint ## run lint, types and unit tests: a minute or two
	$(BIN)/pytest -n auto tests/unit

# Each real target has its own environment: their pins conflict with ours.
.venv-targets/%/.installed: tests/targets/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install $(PIP_FLAGS) $(if $(findstring pipelinewise,$@),--no-deps) -r $<
	@touch $@

targets: $(patsubst tests/targets/%.txt,.venv-targets/%/.installed,$(wildcard tests/targets/*.txt)) ## install the real targets that tests load into

test: lint targets ## run lint, types and all tests but the long ones of make e2e
	$(BIN)/pytest -n auto -m "not long"

# What users put around the tap; the requirements may name this checkout.
.venv-e2e/%/.installed: tests/e2e/environments/%.txt setup.py
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install $(PIP_FLAGS) -r $<
	@touch $@

e2e: .venv/.installed targets $(patsubst tests/e2e/environments/%.txt,.venv-e2e/%/.installed,$(wildcard tests/e2e/environments/*.txt)) ## load into real databases and run the examples
	$(BIN)/pytest -n auto tests/e2e

# Left out: one measures memory, which coverage needs too; the other tests a copy of the repository.
NOT_COVERED = tests/flows/test_memory.py tests/flows/test_adding_a_table.py

coverage: .venv/.installed targets ## run the tests and fail if they run too few lines and branches
	mkdir -p .coverage-data
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto -m "not long" --timeout 300 $(NOT_COVERED:%=--ignore=%)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

format: .venv/.installed ## sort imports and format the code
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

.venv-lowest/.installed: setup.py scripts/lowest.py .venv/.installed
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/python scripts/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/pip install $(PIP_FLAGS) -e '.[dev]' -c .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m compileall -q $(PACKAGES)
	@touch $@

test-lowest: .venv-lowest/.installed ## run all tests with the oldest dependencies that setup.py allows
	.venv-lowest/bin/pip freeze --exclude-editable | grep -iF -f .venv-lowest/constraints.txt
	.venv-lowest/bin/pytest -n auto -m "not long"

.venv-docs/.installed: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install $(PIP_FLAGS) -r $<
	@touch $@

docs: .venv-docs/.installed ## build the documentation in site/ and check its links
	.venv-docs/bin/zensical build --clean --strict

.venv-release/.installed: setup.py
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/pip install $(PIP_FLAGS) build twine
	@touch $@

release-check: .venv-release/.installed ## build, install and sync with each Python and the lowest and highest dependencies
	.venv-release/bin/python scripts/release_check.py

demo: .venv/.installed .venv-targets/duckdb/.installed ## sync from the sandbox into a database, without an account
	$(BIN)/python scripts/demo.py

bench: .venv/.installed targets ## measure time, memory and requests against the sandbox
	$(BIN)/python bench/run.py

soak: .venv/.installed ## test 5,000 random histories of edits, faults and killed runs
	TAP_INTERCOM_HISTORIES=5000 $(BIN)/pytest -n auto tests/flows/test_model.py

clean: ## remove environments and build results
	rm -rf .venv .venv-lowest .venv-targets .venv-e2e .venv-docs .venv-release .demo .bench .coverage-data build dist site *.egg-info
