# Every target does its own set-up: a virtualenv in .venv, the packages, private servers.
# PYTHON=/path/to/python chooses the interpreter, REDIS_URL=redis://... a server of your own,
# ARGS="-k lease" is passed on to pytest (test, matrix), to the demo (demo, demo-redis, run), to the
# faults or to the benchmarks.

python := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo demo-redis run lint test faults bench bench-database matrix clean bootstrap

help: ## print this list
	@echo "usage: make TARGET [PYTHON=...] [REDIS_URL=...] [ARGS=...]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' $(firstword $(MAKEFILE_LIST)) \
		| while read -r target text; do printf '  %-14s %s\n' "$$target" "$$text"; done

demo: bootstrap ## 500 concurrent requests against the example shop, checked, then exit
	@$(python) scripts/demo.py $(ARGS)

demo-redis: bootstrap ## the same with the tasks in Redis instead of the shop's SQLite
	@scripts/with-redis $(python) scripts/demo.py $(ARGS)

run: bootstrap ## the example shop's web server and worker, until Ctrl-C
	@$(python) scripts/demo.py --keep $(ARGS)

lint: bootstrap ## ruff and mypy
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

test: lint ## what CI runs: lint and the whole test suite
	@scripts/install-databases
	scripts/with-redis --optional $(python) -m pytest $(ARGS)

faults: bootstrap ## kill workers, servers and connections, and count what was lost (minutes)
	$(python) -m tests.faults --full --json build/faults.json $(ARGS)

bench: bootstrap ## this package, the raw limit and other queues, measured in turn (a quarter of an hour)
	$(python) benchmarks/bench.py $(ARGS)

bench-database: bootstrap ## this package and other queues on SQLite and PostgreSQL (ten minutes)
	@scripts/install-databases
	$(python) benchmarks/bench_database.py $(ARGS)

matrix: bootstrap ## the test suite on every supported Python and Django found here
	@scripts/install-databases
	scripts/with-redis scripts/matrix $(ARGS)

clean: ## remove the virtualenv, caches and build products
	rm -rf .venv .tox .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

bootstrap:
	@scripts/bootstrap
