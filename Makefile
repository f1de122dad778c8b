# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the others.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
MINUTES ?= 3
RATE ?= 25
BENCH_REPORT ?= $(if $(filter file,$(origin REPORT)),bench.json,$(REPORT))
REPORT ?= faults.json
# Processes that test: one more than there are cores, since each often waits for its servers.
JOBS ?= $(shell expr $$(nproc) + 1)
PARALLEL = --numprocesses $(JOBS) --maxprocesses 8

.PHONY: demo help up setup dev test check test-rabbitmq4 faults model bench mutants schemathesis lint docs lock secrets clean delete-district

demo: setup ## replay the Fengze month and go on serving
	$(BIN)/bihuan demo --port $(PORT)

help: ## list these commands
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 18

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

dev: .venv/.developed ## .venv with the tools for tests and checks in it

.venv/.developed: .venv/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

test: lint ## everything, in parallel: JOBS=1 for one test after another
	$(BIN)/pytest $(PARALLEL)

check: lint ## the quick checks: lint, types, tests/unit, service, contract, and the loop embedded
	$(BIN)/pytest $(PARALLEL) tests/unit tests/service tests/contract tests/loop \
	  -m "not distributed"

test-rabbitmq4: dev ## the broker's tests on RabbitMQ 4, in a folder of its own (as root, on Debian)
	$(BIN)/pytest tests/broker --rabbitmq=4

faults: dev ## a distributed district under load and faults: SEED=, MINUTES=, RATE=, REPORT=
	$(BIN)/python -m tests.faults.run $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) --rate $(RATE) \
	  --report $(REPORT)

model: dev ## search every order of the protocol's steps: LONG=1 for minutes more (Spin, gcc)
	$(BIN)/python -m tests.model.run $(if $(LONG),--long)

bench: dev .venv-bench/.installed ## measure Bihuan beside its peers: ONLY=exactly-once,filing QUICK=1 ROUNDS= STORED= SOAK= PAGE=1 REPORT=
	$(BIN)/python -m bench.run $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) \
	  $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(STORED),--stored $(STORED)) \
	  $(if $(SOAK),--soak $(SOAK)) $(if $(PAGE),--page) --report $(BENCH_REPORT)

.venv-bench/.installed: requirements-bench.lock
	@$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.lock
	@touch $@

mutants: dev ## change the code in small ways, and report what no test notices: ONLY=insurance, AGAIN=1, MOST=60 SEED=1
	$(BIN)/python -m pip install --quiet -c requirements-dev.lock "mutmut==3.8.1"
	$(BIN)/python -m tests.mutants.run $(ONLY) $(if $(AGAIN),--again) $(if $(MOST),--most $(MOST)) \
	  $(if $(SEED),--seed $(SEED))

schemathesis: dev ## send a district requests made from its OpenAPI document: MINUTES=, SEED=
	$(BIN)/python -m tests.fuzzing.run --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: dev ## style, formatting, types and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: dev ## regenerate the documents, also from tests/loop and tests/plans
	$(BIN)/python -m tools.documents
	$(BIN)/pytest tests/loop tests/plans --redraw -q

lock: dev ## resolve and pin the dependencies
	$(BIN)/python -m pip install --quiet "uv>=0.13,<1"
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group bench -c requirements.lock -o requirements-bench.lock

secrets: ## the passwords and keys that docker-compose.yml needs, in ops/secrets; none is made twice
	@$(PYTHON) ops/make_secrets.py

clean: ## remove what can be made again: no data, no keys, no secrets
	rm -rf .venv .venv-bench build

delete-district: ## delete the data and the keys in bihuan-data for good, after a question at a terminal
	@test -d bihuan-data || { echo "There is no bihuan-data."; exit 1; }
	@test -t 0 || { echo "Nothing is deleted: this asks, and there is no terminal."; exit 1; }
	@touch bihuan-data/district.lock && exec 9>> bihuan-data/district.lock \
	  && { flock -n 9 || { echo "A district is running on bihuan-data."; exit 1; }; } \
	  && du -sh bihuan-data && printf 'Nobody can bring it back. To delete it, type "delete bihuan-data": ' \
	  && { read -r said && test "$$said" = "delete bihuan-data" || { echo "Nothing was deleted."; exit 1; }; } \
	  && rm -rf bihuan-data
