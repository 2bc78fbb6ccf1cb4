# Everything a person or CI runs. `make run` and `make test` need Python 3.11 (venv), make and git, nothing else by hand.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Compiled modules are kept: a start without them takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run check test test-journeys test-field test-rest test-sqlite coverage bench rig pictures messages lock system-packages

help:
	@echo "make run       five live pilots on http://127.0.0.1:8000/ (INVADE_PORT)"
	@echo "make test      all tests, on PostgreSQL, Redis, SQLite and Chromium (installs what is missing)"
	@echo "make check     linters, types, import contracts, migrations, API schema"
	@echo "make coverage  which lines and branches the tests walk (without the journeys)"
	@echo "make bench     hot paths beside their limits; ONLY=live runs a part"
	@echo "make rig       the long fault runs"
	@echo "make pictures  docs/pictures, from the running product"

run: .venv/installed
	@exec $(BIN)/python manage.py run_scada --demo

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/with_servers.py --bare -- $(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python tests/with_servers.py --bare -- $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python tests/with_servers.py --bare -- $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

# Four parts, two at a time, each with servers of its own; a part's output comes when it has ended, the longest begins first.
# The journeys are apart because Playwright keeps a loop running in its thread; what touches the database directly runs once
# more on SQLite. With ARGS: one run of just that.
SERVED = $(BIN)/python tests/with_servers.py
FIELD = tests/acquisition tests/drivers tests/faults tests/simulators
test: .venv/installed-dev system-packages
ifdef ARGS
	$(SERVED) -- $(BIN)/python -m pytest $(ARGS)
else
	$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target test-journeys test-field test-rest test-sqlite
endif

test-journeys:
	$(SERVED) -- $(BIN)/python -m pytest tests/journeys

test-field:
	$(SERVED) -- $(BIN)/python -m pytest $(FIELD)

test-rest:
	$(SERVED) -- $(BIN)/python -m pytest --ignore=tests/journeys $(FIELD:%=--ignore=%)

test-sqlite:
	$(SERVED) --sqlite -- $(BIN)/python -m pytest tests/acquisition tests/alarms tests/audit tests/control tests/history tests/northbound tests/api

coverage: .venv/installed-dev system-packages
	$(BIN)/python tests/with_servers.py -- $(BIN)/python -m pytest --cov --cov-report=term:skip-covered --ignore=tests/journeys $(ARGS)

bench: .venv/installed-dev system-packages
	@$(BIN)/python tests/with_servers.py -- $(BIN)/python -m tests.bench $(ONLY)

rig: .venv/installed-dev system-packages
	$(BIN)/python tests/with_servers.py -- $(BIN)/python -m pytest -m rig -s tests/journeys tests/faults $(ARGS)

pictures: .venv/installed-dev system-packages
	$(BIN)/python tests/with_servers.py -- $(BIN)/python -m tests.pictures

messages: .venv/installed-dev system-packages
	$(BIN)/python manage.py makemessages --all --no-obsolete --no-location --no-wrap
	$(BIN)/python manage.py compilemessages --verbosity 0

lock: .venv/installed-dev
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile -q --python-version 3.11 pyproject.toml --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.txt
	$(BIN)/uv pip compile -q --python-version 3.11 pyproject.toml --extra dev -c requirements.txt --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-dev.txt

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The lock names every package, so pip has nothing to resolve. Left to resolve, pip 23 takes the newest `coverage[toml]` beside the
# pinned `coverage` and refuses it for want of a hash.
.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.txt
	@touch $@ .venv/installed

# Peers of the contract tests that npm has: other people's Modbus client and server.
tests/peers/node_modules/.installed: tests/peers/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix tests/peers
	@touch $@

system-packages:
	@sh tests/system_packages.sh
	@$(MAKE) --no-print-directory tests/peers/node_modules/.installed
