# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000

.PHONY: demo up setup dev test lint docs lock clean

demo: setup ## replay the Fengze month and go on serving
	$(BIN)/bihuan demo --port $(PORT)

up: setup ## the embedded district on the real clock
	$(BIN)/bihuan up --port $(PORT)

setup: .venv/.installed ## .venv with the command bihuan in it

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; say make PYTHON=python3.11."; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Install the package python3-venv first."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

dev: .venv/.developed

.venv/.developed: .venv/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

test: lint ## everything
	$(BIN)/pytest

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: dev ## make the generated documents anew
	$(BIN)/python -m console.documents
	$(BIN)/pytest tests/loop --redraw -q

lock: dev ## resolve the dependencies anew
	$(BIN)/python -m pip install --quiet "uv>=0.13,<1"
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf .venv bihuan-data build
