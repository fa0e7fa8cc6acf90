# Everything is set up by the first command that needs it, in a virtual environment of its own.
#
#   make demo    a year of real readings into a sensor pico, and an engine killed on the way
#   make test    lint, types and all tests
#   make soak    the long forms of simulation, kills and power losses, until it is interrupted
#   make bench   throughput beside the limit row, and beside what `make bench-peers` installed
#   make bench-peers  the Node engine and others, into PEERS=FOLDER outside the checkout
#   make fmt     Python and KRL into canonical form
#   make rulesets  the bundle of system rulesets, which the set-up makes too, after a change of one
#   make clean   everything that can be made again
#
# Another Python:  make demo PYTHON=python3.13

PYTHON ?= python3
DEMO_VENV ?= .venv-demo
TEST_VENV ?= .venv-test
SETUP_FILES := pyproject.toml setup.py constraints.txt $(wildcard ext/*.pyx ext/*.pxd)
RULESETS := $(wildcard runtime/rulesets/*.krl)

.PHONY: demo test soak bench bench-peers fmt rulesets clean check-machine
.DELETE_ON_ERROR:

demo: $(DEMO_VENV)/.ready
	$(DEMO_VENV)/bin/python -m examples.demo

test: $(TEST_VENV)/.ready rulesets
	$(TEST_VENV)/bin/python -m tests $(ARGS)

# Each round begins with seeds that no round before it had; the first failure ends it.
soak: $(TEST_VENV)/.ready
	@echo 'Runs until it is interrupted; a failing seed is printed and ends it.'
	while true; do \
	    $(TEST_VENV)/bin/python -m tests.sim --seconds 1800 --start $$(date +%s) && \
	    $(TEST_VENV)/bin/python -m tests.relations --seconds 600 --start $$(date +%s) && \
	    KRL_EXAMPLES=100000 $(TEST_VENV)/bin/python -m pytest tests/matcher && \
	    PICOS_KILLS=200 PICOS_KILLS_PICOS=10000 PICOS_POWER_LOSSES=50 \
	        $(TEST_VENV)/bin/python -m pytest tests/kills || exit 1; \
	done

bench: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/python -m bench $(ARGS)

bench-peers: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/python -m bench peers $(PEERS)

fmt: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/ruff check --fix --quiet .
	$(TEST_VENV)/bin/ruff format --quiet .
	$(TEST_VENV)/bin/krlc fmt examples/*/*.krl runtime/rulesets/*.krl

rulesets: runtime/rulesets/system.krlb

runtime/rulesets/system.krlb: $(RULESETS) $(wildcard krlc/*.py) | $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/krlc build $(RULESETS) -o $@

clean:
	rm -rf .venv-demo .venv-test build dist *.egg-info ext/*.so runtime/rulesets/*.krlb
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# The build tools are pinned like everything else, so they come from the environment itself.
# What krlc imports is among them: the build compiles the system rulesets.
define set-up
$(PYTHON) -m venv --clear $(@D)
$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
    setuptools cython google-re2 lark msgspec regress tqdm
$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
    --no-build-isolation -e '.$(1)'
touch $@
endef

$(DEMO_VENV)/.ready: $(SETUP_FILES) | check-machine
	$(call set-up)

$(TEST_VENV)/.ready: $(SETUP_FILES) | check-machine
	$(call set-up,[dev])

check-machine:
	@$(PYTHON) .ci/check_machine.py
