PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: run quick test coverage full attack bench lint

run: .venv/installed-run
	$(BIN)/slimscope dashboard

# Three processes for two cores, as browser tests wait half of their time.
# One thread for each process: tests are small, and more processes than cores run at once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations 30 --numprocesses 3 --dist loadfile --no-loadscope-reorder

# What needs no torch: before each commit.
quick: .venv/installed-test
	$(PYTEST) --tier quick -m "not gpu and not real and not postgres"

# One case of each class of input; PART=K/N adds one part of N of the other cases.
test: .venv/installed-test
	$(PYTEST) --tier test -m "not gpu" $(if $(PART),--part $(PART))

# What the tests of `make test` cover; they take half as long again.
coverage: .venv/installed-test
	$(PYTEST) --tier test -m "not gpu" --cov=core --cov=dashboard --cov-report=term:skip-covered

# The other cases, and the attacks; PART=K/N takes one part of N of the cases, without the attacks.
full: .venv/installed-test
	$(PYTEST) --tier full -m "not gpu" $(if $(PART),--part $(PART))
	$(if $(PART),,$(BIN)/python -m tests.attacks)

attack: .venv/installed-test
	$(BIN)/python -m tests.attacks

bench: .venv/installed-test
	set -e; for file in $$(grep -l __main__ benchmarks/*.py); do $(BIN)/python -m benchmarks.$$(basename $$file .py); done

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/docs/test_style.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-run: pyproject.toml README.md core/api.py | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-test: pyproject.toml README.md core/api.py | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch .venv/installed-run $@
