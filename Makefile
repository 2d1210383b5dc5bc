# Everything runs in .venv, made on first use; it needs Python 3.11 or later and make, no more.
#   make demo [DATA=journey] [LIMIT=100000]   make repl [DOMAIN=delivery] [STORE=path]   make bench [BENCH=--quick]
#   make bench-quick [BENCH="--save mine.json"]
#   make bench-replay | bench-lag | bench-rebuild | bench-engines | bench-mixes | bench-latency | bench-growth [BENCH=--quick]
#   make quick [VENV=.venv-3.12 PYTHON=python3.12]   make test-pythons
#   make test | lint | types | crash | soak | history | clean

# The first that runs: a name on the PATH may be one that pyenv has switched off.
PYTHON ?= $(or $(firstword $(foreach python,python3.11 python3,$(shell \
	$(python) -c 'import sys; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null))),$(shell \
	.ci/pythons | head -1 | cut -f 2))
VENV := .venv
RUN := $(VENV)/bin/python

# What is run on every Python: what looks into classes, functions, annotations and bytecode, codecs, tables and SQLite,
# a whole system, event loops and worker processes.
QUICK := tests/actors/domain tests/actors/worker_processes/test_domain_import.py \
	tests/actors/testing/test_kit.py tests/storage/codec/test_codec.py tests/storage/tables/test_tables.py \
	tests/storage/engines/test_sqlite.py tests/system/test_asyncio.py tests/system/test_receipts.py \
	$(addprefix tests/system/test_process_workers.py::, \
	test_all_engines_answer_and_a_projection_may_print test_no_worker_is_left_after_closing)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: quick test-pythons demo repl bench bench-replay bench-lag bench-rebuild bench-engines bench-mixes bench-latency bench-growth bench-quick test lint types crash interrupts soak history clean
.NOTPARALLEL:
.SECONDARY:

demo: $(VENV)/.with-repl $(if $(DATA),$(VENV)/.with-data)
	$(RUN) -m actors demo $(if $(DATA),--data $(DATA)) $(if $(LIMIT),--limit $(LIMIT))

repl: $(VENV)/.with-repl
	$(RUN) -m actors repl $(if $(DOMAIN),--domain $(DOMAIN)) $(STORE)

# Everything, with a report in bench-report/; about 25 minutes.
bench: $(VENV)/.with-bench
	$(RUN) -m benchmarks $(BENCH)

# The key figures in two minutes, beside those of benchmarks/baseline.json.
bench-quick: $(VENV)/.with-bench
	$(RUN) -m benchmarks.quick $(BENCH)

# One subject alone: a replay, lag, queries during a rebuild, engines, YCSB's mixes, latencies, growth.
BENCHES := bench-replay bench-lag bench-rebuild bench-engines bench-mixes bench-latency bench-growth
$(BENCHES): bench-%: $(VENV)/.with-bench
	$(RUN) -m benchmarks.$* $(BENCH)

# In two processes, each of which takes the next test when it is done: a quarter of the time is waiting.
PARALLEL := -n 2 --dist worksteal
test: $(VENV)/.with-dev
	$(RUN) -m pytest $(PARALLEL) $(TEST)

# The tests that a new Python may break, in about a minute; on every supported one but the default by `test-pythons`.
quick: $(VENV)/.with-test
	$(RUN) -m pytest -q $(PARALLEL) $(QUICK)

test-pythons:
	.ci/test-pythons

lint: $(VENV)/.with-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# mypy on everything, pyright on the example, and both on a file of mistakes.
types: $(VENV)/.with-dev $(VENV)/.with-bench $(VENV)/.with-types
	$(RUN) -m mypy actors storage benchmarks examples
	$(RUN) -m pyright --pythonpath $(RUN)
	$(RUN) -m pytest tests/typing

# The crash tests of `make test`, for many more rounds.
crash: $(VENV)/.with-dev
	ONEWRITER_CRASH_ROUNDS=500 $(RUN) -m pytest -k crash -o faulthandler_timeout=0 $(TEST)

# The tests of interrupts, at every line: some hours.
interrupts: $(VENV)/.with-dev
	ONEWRITER_INTERRUPTS=0 $(RUN) -m pytest -k interrupted -o faulthandler_timeout=0 $(TEST)

# The property tests and oracles of `make test`, with many more and longer examples.
soak: $(VENV)/.with-dev
	ONEWRITER_HYPOTHESIS_PROFILE=soak $(RUN) -m pytest -m "hypothesis or oracle" -o faulthandler_timeout=0 $(TEST)

# The history test of `make test`, with many more operations; SEED= has the clients do the same again.
history: $(VENV)/.with-dev
	ONEWRITER_HISTORY_OPERATIONS=$(or $(OPERATIONS),200000) $(if $(SEED),ONEWRITER_HISTORY_SEED=$(SEED)) \
		$(RUN) -m pytest -s -k histories -o faulthandler_timeout=0 $(TEST)

clean:
	rm -rf $(VENV) .venv-3.* build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN):
	$(if $(PYTHON),,$(error no Python 3.11 or later found: name one, as in "make PYTHON=/opt/python3.12/bin/python3"))
	$(PYTHON) -m venv $(VENV)

# One mark for each extra that is installed, so that a second run begins at once.
$(VENV)/.with-%: setup.cfg pyproject.toml | $(RUN)
	$(RUN) -m pip install --quiet --editable '.[$*]'
	touch $@
