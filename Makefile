# Needs Python 3.11 or newer and make; the rest is installed into .venv on first use.
PYTHON ?= python3
ARGS ?=
SECONDS ?= 10
JOBS ?= auto

PY := .venv/bin/python
BUF := .venv/bin/buf
BASELINE := proto/baseline.binpb
STUBS := clients/python/aimanager/v1
CODE := server clients/python tests
NODE_PARTS := $(dir $(wildcard tests/aimock/package-lock.json clients/typescript/package-lock.json))
HAS_NODE := $(shell command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 && echo yes)

# Everything is installed at the versions and hashes of .ci/requirements, which `make lock` writes. An sdist would be built with
# tools that no hash covers: ONLY_BINARY=:none: permits it on a platform without wheels.
ONLY_BINARY ?= :all:
REQUIREMENTS := .ci/requirements
PIP_INSTALL := .ci/pip_progress.py pip install --require-hashes --only-binary $(ONLY_BINARY)
PIP_INSTALL_PROJECT := -m pip install -q --no-index --no-deps --no-build-isolation -e .
export PIP_DISABLE_PIP_VERSION_CHECK := 1

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install proto proto-check proto-lint proto-baseline fmt lint types structure test coverage check test-floor demo run \
        fuzz chaos soak attack live bench prices providers-table docs lock sbom docker clean node proto-languages

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.dev node ## Install everything that development needs
	@echo "ready: $$($(PY) --version) in .venv"

demo: .venv/.server ## Start a server, stream an answer, show usage, cost and health
	@$(PY) -m aimanager_server.commands.demo $(ARGS)

run: .venv/.server ## Start the server on localhost:50051
	@$(PY) -m aimanager_server serve --reflection --quickstart $(ARGS)

fmt: .venv/.dev ## Format the code and the protos
	@$(PY) -m ruff check -q --fix --exit-zero .
	@$(PY) -m ruff format -q .
	@$(BUF) format -w proto

lint: .venv/.dev ## Check style, docstrings and format
	@$(PY) -m ruff check -q .
	@$(PY) -m ruff format -q --check . || { echo "lint: run 'make fmt'" >&2; exit 1; }
	@echo "lint: good"

types: .venv/.dev ## Check types
	@$(PY) -m mypy --no-error-summary server clients/python
	@# Tests evaluate the same property twice, so mypy must not narrow it after the first assertion.
	@$(PY) -m mypy --no-error-summary --no-strict-equality --cache-dir .mypy_cache/tests tests
	@echo "types: good"

structure: .venv/.dev | build ## Check the import order, file lengths and retired phrases
	@$(PY) -m pytest -q --no-header tests/architecture/test_imports.py tests/architecture/test_prose.py \
	  >build/structure.log 2>&1 || { cat build/structure.log >&2; exit 1; }
	@echo "structure: good"

test: .venv/.dev node | build ## Run the tests on all cores; ARGS="-k breaker" runs some of them
	@rm -f build/tested build/.coverage build/.coverage.* && touch build/testing
	@$(PY) -m pytest -n $(JOBS) --dist worksteal --cov --cov-report= $(ARGS)
	@$(if $(ARGS),rm build/testing,mv build/testing build/tested)

coverage: .venv/.dev | build
	@test -f build/tested && test -z "$$(find $(CODE) proto pyproject.toml -type f -newer build/tested ! -path '*/node_modules/*' \
	  ! -path '*/__pycache__/*' ! -path '*/src/gen/*' | head -1)" || $(MAKE) test ARGS=
	@$(PY) -m coverage report >build/coverage.log || { cat build/coverage.log >&2; exit 1; }
	@echo "coverage: $$($(PY) -m coverage report --format=total --precision=1 --fail-under=0) % with branches"

check: lint types structure proto-check proto-lint coverage fuzz ## Run every check that a change must pass, and the tests if they are out of date

test-floor: .venv-floor/.stamp ## Run the client's tests on the oldest supported grpcio and protobuf
	@.venv-floor/bin/python -m pytest -p no:cacheprovider tests/client $(ARGS)

fuzz: .venv/.dev ## Fuzz the response parsers, also against the vendors' SDKs: SECONDS=60
	@$(PY) -m tests.fuzz.readers --seconds $(SECONDS) $(ARGS)
	@$(PY) -m tests.fuzz.http_responses --seconds $(SECONDS) $(ARGS)
	@$(PY) -m tests.fuzz.differential --seconds $(SECONDS) $(ARGS)

chaos: .venv/.dev ## Inject every fault under load, then check for leaks: SECONDS=60
	@$(PY) -m tests.chaos.run $(if $(filter command,$(origin SECONDS)),--seconds $(SECONDS)) $(ARGS)

soak: .venv/.dev ## Load a server for ten minutes, and report what grows: SECONDS=120
	@GRPC_VERBOSITY=error $(PY) -m tests.soak.run $(if $(filter command,$(origin SECONDS)),--seconds $(SECONDS)) $(ARGS)

attack: .venv/.dev ## Attack a server on loopback, and check how long other callers wait: ARGS="--only bombs"
	@GRPC_VERBOSITY=error $(PY) -m tests.attack.run $(ARGS)

live: .venv/.dev ## Call each provider whose key is in the environment
	@$(PY) -m tests.live.run

bench: .venv/.dev ## Measure the cost of a call; ARGS="--against REV" compares with another commit
	@GRPC_VERBOSITY=error $(PY) -m tests.bench.run $(ARGS)

prices: .venv/.dev ## Propose new rows for the catalog's prices
	@$(PY) .ci/prices.py $(ARGS)

providers-table: .venv/.dev ## Write the tables of docs/providers.md
	@$(PY) .ci/providers_table.py

docs: .venv/.dev ## Write the generated pages and tables of docs/
	@$(PY) -m aimanager_server.commands.reference

proto: build/stubs ## Generate the Python stubs from proto/
	@rm -f $(STUBS)/*.py $(STUBS)/*.pyi
	@cp build/stubs/aimanager/v1/* $(STUBS)/
	@echo "proto: $(STUBS) is generated"

proto-check: .venv/.dev ## Check that the committed stubs match proto/
	@if $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 14))'; then \
	  echo "proto-check: skipped, grpcio-tools 1.71.0 has no wheel for Python 3.14 or newer"; \
	else $(MAKE) -s build/stubs && { diff -rq -x __pycache__ $(STUBS) build/stubs/aimanager/v1 >build/stubs.diff \
	  || { head -20 build/stubs.diff >&2; echo "proto-check: $(STUBS) does not match proto/: run 'make proto'" >&2; exit 1; }; } \
	  && echo "proto-check: good"; fi

proto-lint: .venv/.dev ## Check style, format and compatibility of the protos
	@$(BUF) lint proto
	@$(BUF) format -d --exit-code proto || { echo "proto-lint: run 'make fmt'" >&2; exit 1; }
	@if test -f $(BASELINE); then $(BUF) breaking proto --against $(BASELINE); \
	  else echo "proto-lint: no $(BASELINE) yet, nothing to compare with"; fi
	@echo "proto-lint: good"

proto-baseline: .venv/.dev ## At a release: make the current protos the baseline
	@$(BUF) build proto --exclude-source-info -o $(BASELINE)

proto-languages: .venv/.python $(if $(ARGS),,.venv/.dev) | build ## Generate and compile stubs in nine languages, run the examples: ARGS="go rust"
	@$(PY) .ci/languages $(ARGS)
	@$(if $(ARGS),:,ALL_LANGUAGE_EXAMPLES=1 $(PY) -m pytest tests/docs/test_languages.py)

lock: build/lock/.stamp ## Write .ci/requirements/*.txt: ARGS="--upgrade" takes the newest versions
	@build/lock/bin/python .ci/lock.py $(ARGS)

sbom: .venv/.dev | build ## Write build/sbom.json: the packages of a server, as CycloneDX 1.6
	@$(PY) .ci/sbom.py build/sbom.json

docker: ## Build the container image aimanager:latest: BASE_IMAGE=python:3.12-slim@sha256:DIGEST
	@$(if $(findstring @sha256:,$(BASE_IMAGE)),:,echo "docker: a tag can move. Pin the base image by its digest: docs/security.md" >&2)
	@docker build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t aimanager:latest .

clean: ## Remove build outputs; the venvs stay
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache clients/typescript/dist clients/typescript/src/gen

# Prerequisites of the targets above. A stamp is renewed only if its inputs changed.

build:
	@mkdir -p $@

.venv/.python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found. Name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "make: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
	  "make: $(PYTHON) cannot make a venv. Install the missing package, for example: apt install python3-venv" >&2; exit 1; }
	@echo "installing into .venv, once"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.server: pyproject.toml $(REQUIREMENTS)/server.txt $(REQUIREMENTS)/build.txt | .venv/.python
	@test .venv/.dev -nt pyproject.toml && test .venv/.dev -nt $(REQUIREMENTS)/dev.txt || { \
	  $(PY) $(PIP_INSTALL) -r $(REQUIREMENTS)/server.txt -r $(REQUIREMENTS)/build.txt && $(PY) $(PIP_INSTALL_PROJECT); }
	@touch $@

.venv/.dev: pyproject.toml $(REQUIREMENTS)/dev.txt | .venv/.python
	@$(PY) $(PIP_INSTALL) -r $(REQUIREMENTS)/dev.txt
	@$(PY) $(PIP_INSTALL_PROJECT)
	@touch $@

.venv-floor/.stamp: pyproject.toml $(REQUIREMENTS)/floor.txt | .venv/.python
	@rm -rf .venv-floor && $(PY) -m venv .venv-floor
	@.venv-floor/bin/python $(PIP_INSTALL) -r $(REQUIREMENTS)/floor.txt
	@.venv-floor/bin/python $(PIP_INSTALL_PROJECT)
	@touch $@

build/lock/.stamp: $(REQUIREMENTS)/lock.txt | .venv/.python build
	@rm -rf build/lock && $(PY) -m venv build/lock
	@build/lock/bin/python $(PIP_INSTALL) -r $(REQUIREMENTS)/lock.txt
	@touch $@

node: $(if $(HAS_NODE),$(addsuffix node_modules/.package-lock.json,$(NODE_PARTS)))
	@$(if $(HAS_NODE),:,echo "node and npm not found: tests that need them are skipped")

%/node_modules/.package-lock.json: %/package-lock.json
	@cd $* && npm ci --silent --no-audit --no-fund && touch node_modules/.package-lock.json

build/protoc/.stamp: $(REQUIREMENTS)/protoc.txt | .venv/.python build
	@$(PY) -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || { echo \
	  "make: grpcio-tools 1.71.0 has no wheel for Python 3.14 or newer: use Python 3.11 to 3.13 for 'make proto'" >&2; exit 1; }
	@rm -rf build/protoc && $(PY) -m venv build/protoc
	@build/protoc/bin/python $(PIP_INSTALL) -r $(REQUIREMENTS)/protoc.txt
	@touch $@

build/stubs: $(shell find proto -name '*.proto') build/protoc/.stamp .venv/.dev
	@rm -rf $@ && mkdir -p $@
	@build/protoc/bin/python -m grpc_tools.protoc -Iproto --python_out=$@ --grpc_python_out=$@ --mypy_out=quiet:$@ --mypy_grpc_out=quiet:$@ \
	  --plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc \
	  $$(find proto -name '*.proto' | sort)
	@for stub in $$(grep -L '^class .*Stub' $@/aimanager/v1/*_pb2_grpc.py); do rm -f $$stub $${stub}i; done
	@echo '"""Generated from proto/aimanager/v1 by `make proto`."""' >$@/aimanager/v1/__init__.py
