# Each target sets up what it needs, once. A step of the setup is repeated when its stamp in $(VENV) is older than setup.cfg.
# HOST, PORT, ENGINE and PROCESSES on make's command line are passed to the programs in the environment. The same names in make's own
# environment are not, because conda sets HOST to the name of a platform.
ifeq ($(origin HOST),command line)
export TATSUMAKI_HOST := $(HOST)
endif
ifeq ($(origin PORT),command line)
export TATSUMAKI_PORT := $(PORT)
endif

ifeq ($(origin ENGINE),command line)
export TATSUMAKI_ENGINE := $(ENGINE)
endif
ifeq ($(origin PROCESSES),command line)
export TATSUMAKI_PROCESSES := $(PROCESSES)
endif

ifdef PYTHON
# A named interpreter gets a separate venv, so that it does not use the venv of another interpreter.
VENV ?= .venvs/$(subst /,-,$(PYTHON))
else
VENV ?= .venv
endif
# The interpreter is looked up only when a recipe needs it.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := $(VENV)/bin
# What the programs need. If ENGINE is the URL of a Redis server, they also need the Redis client.
RUN = $(VENV)/.run $(if $(filter redis%,$(TATSUMAKI_ENGINE)),$(VENV)/.redis)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help chat dashboard demo test test-all bench bench-peers lint types types-js docs dist clean

help:
	@echo 'make chat      serve the chat on http://127.0.0.1:5000/'
	@echo 'make dashboard serve a page with live figures of the server, at the same address'
	@echo 'make demo      serve the small examples, at the same address'
	@echo 'make test      run the tests, four at a time; ARGS="t/handler -k root -n 0" is passed to pytest'
	@echo 'make test-all  run the tests on every installed Python, and on the oldest supported Tornado'
	@echo 'make bench     run the benchmarks, about an hour; ARGS=--quick for a rough idea'
	@echo 'make bench-peers  install the servers that the benchmarks compare this one with (npm: Bun; Debian: nginx with nchan, and Redis, which start on ports 80 and 6379)'
	@echo 'make lint      check style and format (ruff)'
	@echo 'make types     check types (mypy)'
	@echo 'make types-js  generate tatsumaki.d.ts, the types of tatsumaki.js (npm: TypeScript)'
	@echo 'make docs      build the documentation in build/docs (Sphinx)'
	@echo 'make dist      build the sdist and the wheel in dist/, and check them'
	@echo 'make clean     remove everything that the other targets made'
	@echo
	@echo 'PORT=8000 HOST=0.0.0.0 changes the address, PYTHON=python3.12 the interpreter.'
	@echo 'ENGINE=redis://127.0.0.1:6379 keeps the events in Redis, ENGINE=sqlite:chat.db in a file; PROCESSES=3 serves from three processes over Redis.'

chat: $(RUN)
	@exec $(BIN)/python examples/chat/app.py

dashboard: $(RUN)
	@exec $(BIN)/python examples/dashboard/app.py

demo: $(RUN)
	@exec $(BIN)/python examples/demo.py

test: $(VENV)/.test $(VENV)/.npm $(VENV)/sockjs $(VENV)/.datastar
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

test-all:
	@.ci/test-all

bench: $(VENV)/.run
	@$(BIN)/python bench/all.py $(ARGS)

bench-peers: $(VENV)/.run
	@$(PIP) install --quiet --editable '.[fast,redis]'
	@$(PIP) install --quiet aiohttp python-socketio sse-starlette starlette uvicorn uvloop websockets
	@if command -v npm >/dev/null; then \
		mkdir -p $(VENV)/peers && cp bench/peers/package*.json $(VENV)/peers/ && \
		npm ci --prefix $(VENV)/peers --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null; \
	else echo 'Skipping Bun: it needs npm' >&2; fi
	@if command -v apt-get >/dev/null; then \
		$$([ "$$(id -u)" = 0 ] || echo sudo) apt-get install -y nginx libnginx-mod-nchan redis-server gcc libc6-dev; \
	else echo 'Skipping nchan and Redis: they need the Debian packages nginx, libnginx-mod-nchan and redis-server' >&2; fi

lint: $(VENV)/.dev
	@$(BIN)/python -m ruff check
	@$(BIN)/python -m ruff format --check

types: $(VENV)/.dev
	@$(BIN)/python -m mypy

types-js: $(VENV)/.npm
	@node $(VENV)/npm/node_modules/typescript/bin/tsc --project tatsumaki_py/static

SPHINX = $(BIN)/python -m sphinx --nitpicky --fail-on-warning --quiet --doctree-dir build/doctrees

# The build starts from scratch, because a run after a failed one would not repeat the warnings.
docs: $(VENV)/.docs
	@$(SPHINX) --fresh-env --write-all docs build/docs
	@$(SPHINX) --builder coverage docs build/docs-coverage
	@echo 'Open build/docs/index.html'

dist: $(VENV)/.dev
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation >$(VENV)/dist.log 2>&1 || { cat $(VENV)/dist.log; exit 1; }
	@$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf .venv .venvs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: setup.cfg pyproject.toml
	@python='$(PYTHON)'; \
	if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "Python 3.11 or later is needed, but $${python:-none} was found. On Debian: apt install python3 python3-venv" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python lacks the venv module. On Debian: apt install python3-venv" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$python" --version) ..." >&2; \
	"$$python" -m venv $(VENV)
	@$(PIP) install --quiet --editable '.[fast]' || { \
		echo 'httptools cannot be installed here: the server will use the HTTP code of Tornado, which is slower' >&2; \
		$(PIP) install --quiet --editable .; }
	@touch $@

$(VENV)/.redis: $(VENV)/.run
	@echo 'Installing redis, the client of the Redis engine ...' >&2
	@$(PIP) install --quiet --editable '.[redis]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo 'Installing the packages for the tests ...' >&2
	@$(PIP) install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.redis

# Node is optional: without it, the tests say what they skip.
$(VENV)/.npm: t/clients/node/package-lock.json | $(VENV)/.run
	@if command -v npm >/dev/null; then \
		mkdir -p $(VENV)/npm && cp t/clients/node/package*.json $(VENV)/npm/ && \
		npm ci --prefix $(VENV)/npm --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null && \
		touch $@; \
	fi

# It is installed outside of site-packages, because its namespace package would make pkg_resources warn there.
$(VENV)/sockjs: | $(VENV)/.run
	@$(PIP) install --quiet --no-deps --target $@ sockjs-tornado==1.0.7

# Datastar's current version is not on npm. The wheel of StarHTML contains it. Without Datastar, one test is skipped, and says so.
$(VENV)/.datastar: | $(VENV)/.run
	@$(PIP) install --quiet --no-deps --ignore-requires-python --target $(VENV)/datastar starhtml==0.7.0 && \
		touch $@ || echo 'Datastar could not be downloaded' >&2

$(VENV)/.docs: $(VENV)/.run
	@echo 'Installing what the documentation needs ...' >&2
	@$(PIP) install --quiet --editable '.[docs]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo 'Installing the packages for lint, types and tests ...' >&2
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.redis
