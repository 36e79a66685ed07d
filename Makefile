PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: run quick test test-servers test-others coverage full bench lint

run: .venv/installed-run
	$(BIN)/slimscope dashboard

# One thread for each process: tests are small, and more processes than cores run at once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations 20
# They start servers for a file, and work stealing ignores groups: a process of their own runs them beside the others.
SERVERS := e2e or ray

# What needs no torch: before each commit.
quick: .venv/installed-test
	$(PYTEST) --numprocesses 2 --dist worksteal --tier quick -m "not gpu and not real and not postgres"

# One case of each class of behaviour.
test: .venv/installed-test
	@$(MAKE) --no-print-directory --jobs 2 test-servers test-others

test-servers:
	$(PYTEST) --tier test -m "not gpu and ($(SERVERS))"

test-others: # three processes for two cores, as many tests wait for others
	$(PYTEST) --numprocesses 3 --dist worksteal --tier test -m "not gpu and not ($(SERVERS))"

# What the tests of `make test` cover; they take half as long again.
coverage: .venv/installed-test
	$(PYTEST) --numprocesses 2 --dist worksteal --tier test -m "not gpu" \
	  --cov=core --cov=dashboard --cov-report=term:skip-covered

# The other cases, part by part, with new random input; PART=NAME runs one, and `python -m tests.tiers` prints the names.
full: .venv/installed-test
	failed=; for part in $(or $(PART),$$($(BIN)/python -m tests.tiers)); do \
	  echo "make full PART=$$part"; \
	  $(PYTEST) --numprocesses 2 --dist loadfile --hypothesis-profile attacks \
	    --tier full --part $$part -m "not gpu" || failed="$$failed $$part"; \
	done; test -z "$$failed" || { echo "Failed:$$failed"; exit 1; }

bench: .venv/installed-test
	set -e; for file in $$(grep -rl --include=*.py '^if __name__' benchmarks); do \
	  $(BIN)/python -m $$(echo $${file%.py} | tr / .); done

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/docs/test_style.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-run: pyproject.toml README.md $(wildcard core/api/*.py) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-test: pyproject.toml README.md $(wildcard core/api/*.py) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch .venv/installed-run $@
