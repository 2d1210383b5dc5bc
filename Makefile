# Everything runs in .venv, made on first use; it needs Python 3.11 or later and make, no more. `make help` lists the
# targets: a line is made of what follows `##` after a target, a heading of what follows `##@`.

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
# The tests start hundreds of programs, each of which would compile every module again, were that not kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo repl test test-fast quick test-pythons lint types crash crash-archive crash-backup crash-compact crash-continuous crash-copy crash-correct crash-forget forgotten crash-retention crash-take-over damage flips interrupts many-stores soak soak-backup history bench bench-quick bench-replay \
	bench-lag bench-rebuild bench-engines bench-mixes bench-latency bench-growth bench-replicas bench-filtered \
	bench-upcasting bench-archives bench-backup bench-personal bench-tenants pictures clean
.NOTPARALLEL:
.SECONDARY:
.DEFAULT_GOAL := help

##@ To see it run

demo: $(VENV)/.with-repl $(if $(DATA),$(VENV)/.with-data)  ## run a shop on the whole engine [DATA=journey] [LIMIT=100000]
	$(RUN) -m actors demo $(if $(DATA),--data $(DATA)) $(if $(LIMIT),--limit $(LIMIT))

repl: $(VENV)/.with-repl  ## open a shell [DOMAIN=delivery] [STORE=path] [WRITE=1]
	$(RUN) -m actors repl $(if $(DOMAIN)$(STORE),--domain $(or $(DOMAIN),shop)) $(if $(WRITE),--write) $(STORE)

##@ To check a change

# In five processes, each of which takes tests of another when it is done: on two cores, three of them usually wait for a
# disk, a deadline or a child. What waits the longest begins first (WAITING in tests/conftest.py).
PARALLEL := -n 5 --dist worksteal
# Stores are in memory where there is room: a commit need not wait for a disk. See docs/testing.md.
test test-fast: export TMPDIR ?= $(shell [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')" -gt 4000000 ] \
	2>/dev/null && echo /dev/shm || echo /tmp)

test: $(VENV)/.with-dev  ## all tests [TEST="-k name"]
	$(RUN) -m pytest $(PARALLEL) $(TEST)

test-fast: $(VENV)/.with-dev  ## those that take no seconds, while you work [TEST="-k name"]
	ONEWRITER_HYPOTHESIS_PROFILE=fast $(RUN) -m pytest -q $(PARALLEL) -m "not kill and not oracle and not slow" $(TEST)

lint: $(VENV)/.with-dev  ## ruff: mistakes and format
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.with-dev $(VENV)/.with-bench $(VENV)/.with-types  ## mypy on everything, pyright on the example, both on a file of mistakes
	$(RUN) -m mypy actors storage benchmarks examples
	$(RUN) -m pyright --pythonpath $(RUN)
	$(RUN) -m pytest tests/typing

##@ To check more

quick: $(VENV)/.with-test  ## the tests that a new Python may break, in about a minute [VENV=.venv-3.12 PYTHON=python3.12]
	$(RUN) -m pytest -q $(PARALLEL) $(QUICK)

test-pythons:  ## the same on every supported Python of this machine but the default
	.ci/test-pythons

crash: $(VENV)/.with-dev  ## the crash tests, for many more rounds
	ONEWRITER_CRASH_ROUNDS=500 $(RUN) -m pytest -k crash -o faulthandler_timeout=0 $(TEST)

crash-archive: $(VENV)/.with-dev  ## ends at every step of archiving, with five times as many events
	ONEWRITER_CRASH_ROUNDS=5 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/storage/log/test_archives_crash.py

crash-backup: $(VENV)/.with-dev  ## kills of backups and restores, 30 rounds of six
	ONEWRITER_CRASH_ROUNDS=30 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/storage/backup/test_backup_crash.py

crash-compact: $(VENV)/.with-dev  ## kills while a log in use is compacted, 100 rounds
	ONEWRITER_CRASH_ROUNDS=1000 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/system/test_live_compaction.py

crash-continuous: $(VENV)/.with-dev  ## kills and cut connections while a store is copied off the machine, 30 rounds
	ONEWRITER_CRASH_ROUNDS=30 $(RUN) -m pytest -s -o faulthandler_timeout=0 -k "kill or cut" \
		tests/system/test_continuous_copy.py tests/system/test_copy_faults.py

crash-copy: $(VENV)/.with-dev  ## kills of a store's copy, 30 rounds of up to six
	ONEWRITER_CRASH_ROUNDS=30 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/actors/migration/test_copy_crash.py

crash-correct: $(VENV)/.with-dev  ## kills while stored events are corrected, 30 rounds
	ONEWRITER_CRASH_ROUNDS=300 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/system/test_correction_crash.py

crash-forget: $(VENV)/.with-dev  ## kills while people are forgotten, 100 rounds
	ONEWRITER_CRASH_ROUNDS=100 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/system/test_forgetting_crash.py

forgotten: $(VENV)/.with-dev  ## search all files for 1,000 people who were forgotten [SUBJECTS=5000]
	FORGOTTEN_SUBJECTS=$(or $(SUBJECTS),1000) $(RUN) -m pytest -s -o faulthandler_timeout=0 \
		tests/system/test_compacting.py -k hundred

crash-retention: $(VENV)/.with-dev  ## kills while a system archives and removes, 100 rounds of several
	ONEWRITER_CRASH_ROUNDS=500 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/system/test_archive_crash.py

crash-take-over: $(VENV)/.with-dev  ## kills while a log of an older format is taken over, 30 rounds
	ONEWRITER_CRASH_ROUNDS=30 $(RUN) -m pytest -s -o faulthandler_timeout=0 tests/storage/log/test_take_over_crash.py

flips: $(VENV)/.with-dev  ## flip bytes of a store, one at a time, and read everything [FLIPS=1000] [SEED=1]
	$(RUN) -m tests.system.flip_bytes --flips $(or $(FLIPS),1000) $(if $(SEED),--seed $(SEED))

damage: $(VENV)/.with-dev  ## damage stores and backups, and have it found by verify [FLIPS=500] [SWAPS=100] [SEED=1]
	$(RUN) -m tests.system.damage_files --flips $(or $(FLIPS),500) --swaps $(or $(SWAPS),100) \
		$(if $(SEED),--seed $(SEED))

many-stores: $(VENV)/.with-dev  ## open 1,000 stores in one process and use each [STORES=1000]
	rm -rf build/many-stores
	$(RUN) -m tests.system.many_stores_child build/many-stores $(or $(STORES),1000) 0
	rm -rf build/many-stores

interrupts: $(VENV)/.with-dev  ## the tests of interrupts, at every line: some hours
	ONEWRITER_INTERRUPTS=0 $(RUN) -m pytest -k interrupted -o faulthandler_timeout=0 $(TEST)

soak: $(VENV)/.with-dev  ## the property tests and oracles, with many more and longer examples
	ONEWRITER_HYPOTHESIS_PROFILE=soak $(RUN) -m pytest -m "hypothesis or oracle" -o faulthandler_timeout=0 $(TEST)

soak-backup: $(VENV)/.with-dev  ## a backup a second under full load, each restored and compared [SECONDS=600]
	$(RUN) -m tests.system.backup_soak --seconds $(or $(SECONDS),600)

history: $(VENV)/.with-dev  ## the history test, with many more operations [OPERATIONS=200000] [SEED=1, for the same again]
	ONEWRITER_HISTORY_OPERATIONS=$(or $(OPERATIONS),200000) $(if $(SEED),ONEWRITER_HISTORY_SEED=$(SEED)) \
		$(RUN) -m pytest -s -k histories -o faulthandler_timeout=0 $(TEST)

##@ To measure

bench: $(VENV)/.with-bench  ## everything, with a report in bench-report/: about 30 minutes [BENCH=--quick]
	$(RUN) -m benchmarks $(BENCH)

bench-quick: $(VENV)/.with-bench  ## the key figures in two minutes, beside earlier ones [BENCH="--save mine.json"]
	$(RUN) -m benchmarks.quick $(BENCH)

BENCHES := bench-replay bench-lag bench-rebuild bench-engines bench-mixes bench-latency bench-growth bench-filtered \
	bench-replicas bench-upcasting bench-archives bench-backup bench-personal bench-tenants
$(BENCHES): bench-%: $(VENV)/.with-bench
	$(RUN) -m benchmarks.$* $(BENCH)

bench-replay:  ## events a second into an empty read model
bench-lag:  ## how far replicas are behind
bench-rebuild:  ## queries while a model is rebuilt
bench-engines:  ## LMDB, SQLite and memory as engines of read models
bench-mixes:  ## the core workloads of YCSB
bench-latency:  ## latencies at given loads
bench-growth:  ## opening time, memory and files, from 10^4 to 10^7 events
bench-replicas:  ## what three replicas cost beside one
bench-filtered:  ## reading the log through a filter that few events match
bench-upcasting:  ## a read model filled from events of older versions
bench-archives:  ## what archived events cost, by the size of blocks
bench-backup:  ## backups, and commands while they run
bench-personal:  ## what personal fields cost, and forgetting
bench-tenants:  ## many stores in one process: opening one on demand, and what open ones cost

##@ Other

help:  ## this list
	@awk -F ':.*## ' '/^##@ / { printf "%s%s\n", separator, substr($$0, 5); separator = "\n" } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

pictures: $(VENV)/.with-repl  ## draw the pictures of the README again: docs/demo.svg, docs/shell.svg
	$(RUN) -m actors.demo.make_pictures docs

clean:  ## remove the virtual environments and what was built
	rm -rf $(VENV) .venv-3.* build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN):
	$(if $(PYTHON),,$(error no Python 3.11 or later found: name one, as in "make PYTHON=/opt/python3.12/bin/python3"))
	$(PYTHON) -m venv $(VENV)

# One mark for each extra that is installed, so that a second run begins at once.
$(VENV)/.with-%: setup.cfg pyproject.toml | $(RUN)
	$(RUN) -m pip install --quiet --editable '.[$*]'
	touch $@
