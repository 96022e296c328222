.DEFAULT_GOAL := help
SHELL := /bin/bash
# Where this is set, every process recompiles every import: 20 s a start.
unexport PYTHONDONTWRITEBYTECODE
export RAY_USAGE_STATS_ENABLED = 0
export OPENLEDGER_CACHE ?= $(CURDIR)/.openledger/cache
BIN := .venv/bin
CHAOS := tests/e2e/test_chaos.py

.PHONY: help
help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: setup
setup: ## create .venv and the Node tools (quick when nothing changed)
	@scripts/setup

.PHONY: models
models: setup ## train the demo's small models into the cache (minutes, once; demo and test do it themselves)
	@$(BIN)/python examples/demo/train.py

.PHONY: demo
demo: setup ## run the whole loop: pay, act, record, anchor, attribute, pay out, catch a cheat, slash
	@$(BIN)/python examples/demo

.PHONY: test
test: setup ## every test: forge test beside what pytest needs, then pytest
	@$(MAKE) --no-print-directory --output-sync=target -j3 test-contracts models ipfs
	@$(MAKE) --no-print-directory test-python

.PHONY: test-contracts
test-contracts: setup ## forge test, and that the committed ABIs are current
	@scripts/test-contracts

.PHONY: test-python
test-python: setup models ipfs ## pytest: end-to-end tests, and beside them those of parts and of chaos, whose output comes after
	@mkdir -p .openledger; $(BIN)/pytest tests/integration tests/unit $(CHAOS) >.openledger/tests.log 2>&1 & parts=$$!; \
	trap 'kill $$parts' INT TERM; \
	$(BIN)/pytest tests/e2e --ignore=$(CHAOS); failed=$$?; \
	wait $$parts || failed=1; \
	cat .openledger/tests.log; \
	exit $$failed

.PHONY: ipfs
ipfs: setup # the content store that some tests run against
	@tests/ipfs/install

.PHONY: chaos
chaos: setup models ipfs ## kill -9 of every part, again and again, under 1,000 paid actions (OPENLEDGER_CHAOS=ACTIONS,KILLS,SEED)
	@OPENLEDGER_CHAOS=$${OPENLEDGER_CHAOS:-1000,25,$$RANDOM} $(BIN)/pytest $(CHAOS)

.PHONY: fuzz
fuzz: setup ## five minutes of requests to a gateway that nobody would write (OPENLEDGER_FUZZ=SECONDS,SEED)
	@OPENLEDGER_FUZZ=$${OPENLEDGER_FUZZ:-300,$$RANDOM} $(BIN)/pytest tests/integration/gateway/test_gateway_fuzz.py

.PHONY: contracts-deep
contracts-deep: setup ## deep fuzzing, invariants 256 x 128, coverage, symbolic tests, Slither (a quarter of an hour)
	@scripts/contracts-deep

.PHONY: contracts
contracts: setup ## compile the Solidity and regenerate contracts/abi
	@scripts/contracts

.PHONY: lint
lint: setup ## ruff, mypy strict, the floors of the import graph
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy -p openledger
	@MYPYPATH=.dev:examples/demo:tests/e2e $(BIN)/mypy -p benchmarks
	@$(BIN)/lint-imports --no-cache

.PHONY: bench
bench: setup ## figures of this machine into benchmarks/results.md, small (a quarter of an hour)
	@$(BIN)/python -m benchmarks.openlora --adapters 1,64 --mixes uniform --registered 500 --systems 0,1,2,3,4
	@$(BIN)/python -m benchmarks.runtime
	@$(BIN)/python -m benchmarks.verify --honest 4000 --outputs 10 --steps 60
	@$(BIN)/python -m benchmarks.attribution --megabytes 5 --outputs 30
	@$(BIN)/python -m benchmarks.influence --small --subsets 20 --seeds 2
	@$(BIN)/python -m benchmarks.gaming --small
	@$(BIN)/python -m benchmarks.plots

.PHONY: bench-full
bench-full: setup ipfs ## the same at full size (hours)
	@$(BIN)/python -m benchmarks.openlora --adapters 1,16,64,256,1024 --requests 1024 --repeats 3 --registered 10000
	@$(BIN)/python -m benchmarks.runtime --actions 300 --sweep 1,4,16,64,256
	@$(BIN)/python -m benchmarks.recovery
	@$(BIN)/python -m benchmarks.replicas
	@$(BIN)/python -m benchmarks.verify --honest 100000 --outputs 100 --steps 300
	@$(BIN)/python -m benchmarks.attribution
	@$(BIN)/python -m benchmarks.influence
	@$(BIN)/python -m benchmarks.gaming
	@$(BIN)/python -m benchmarks.plots

.PHONY: clean
clean: ## remove everything that setup, demo and tests made
	@rm -rf .venv .openledger dist contracts/node_modules contracts/out contracts/cache tests/ipfs/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
