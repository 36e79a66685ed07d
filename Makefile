PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: run test attack bench lint

run: .venv/installed-run
	@echo "Slimscope is at http://127.0.0.1:8501 (Ctrl+C stops it)"
	$(BIN)/python -m streamlit run dashboard/server.py --server.address 127.0.0.1 --server.port 8501

test: .venv/installed-test
	$(BIN)/python -m pytest -m "not gpu" --numprocesses 2 --dist loadfile --no-loadscope-reorder

attack: .venv/installed-test
	$(BIN)/python -m tests.attacks

bench: .venv/installed-test
	$(BIN)/python -m benchmarks.sparsegpt
	$(BIN)/python -m benchmarks.gptq
	$(BIN)/python -m benchmarks.zeroshot
	$(BIN)/python -m benchmarks.perplexity
	$(BIN)/python -m benchmarks.surgeon
	$(BIN)/python -m benchmarks.embedding
	$(BIN)/python -m benchmarks.slimllm
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.shipping
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.checksums
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.sessions

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-run: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-test: requirements.txt requirements-test.txt requirements-export.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch .venv/installed-run $@
