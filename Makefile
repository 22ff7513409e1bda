# Suture. `make demo` runs the main job, `make test` passes the tests; both set everything up first.
# What each target does: make help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
PYTHON ?= python3.11
BIN := .venv/bin
# Commands in rules are called `python`; on a terminal, ours come first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# The digest of the lock is kept inside the environment: it is remade when, and only when, they differ.
LOCK := $(shell sha256sum requirements.lock | cut -d' ' -f1)
MADE := $(shell cat .venv/lock.sha256 2>/dev/null)

# DATA=DIR draws the annotations under DIR; SYSTEM=NAME runs another system's small demo.
ifdef DATA
CONFIG := config/demo/annotations.yaml
SET := annotations="$(DATA)"
else ifdef SYSTEM
CONFIG := config/demo/$(SYSTEM).yaml
endif
# The run's folder, as its config names it.
RUN = results/$(shell sed -n 's/^run: *//p' $(or $(CONFIG),config.yaml))
SNAKEMAKE := snakemake $(if $(CONFIG),--configfile $(CONFIG)) $(if $(SET),--config $(SET))

.PHONY: help setup lock envs docs check test slurm-test test-long demo review qa-preview status doctor sanity-check plan why accept compare bench clean-cache

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## make .venv/ from the lock; nothing to do where it is there
ifneq ($(LOCK),$(MADE))
	@command -v $(PYTHON) >/dev/null || { echo "Suture needs Python 3.11 ($(PYTHON) is not on PATH)"; exit 2; }
	@echo "Making .venv from requirements.lock (about 4 minutes, 6.5 GB) ..."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip check
	@echo $(LOCK) > .venv/lock.sha256
endif

lock: setup  ## renew requirements.lock from pyproject.toml's names, to the newest versions that fit
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager .[dev]
	$(BIN)/python -m pip uninstall --quiet --yes suture
	{ sed -n '/^#/p' requirements.lock; $(BIN)/python -m pip freeze --all --exclude pip | sort -f; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

envs: setup  ## write envs/<rule>.yaml from imports and lock
	python workflow/scripts/make_envs.py

docs: setup  ## write config/README.md and the JSON Schema from the config model
	python workflow/scripts/make_docs.py

check: setup  ## formatting, types, generated files, unit tests: about 3 minutes
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	mypy
	python workflow/scripts/make_envs.py --check
	python workflow/scripts/make_docs.py --check
	pytest -n 2 tests/unit

test: check  ## everything CI runs: also stages, faults and the DAG on real processes
	pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long" tests/dag tests/faults tests/stages

slurm-test: setup  ## snakemake --profile slurm on a private cluster that is started and stopped: about half an hour
	pytest -rs -m "not long" tests/slurm

test-long: check  ## what takes longer: run by hand before an issue is resolved
	pytest -m long -s tests

demo: setup  ## the main job: drawn surgeries through every stage to a trained, scored model and a report
	@test -z "$(CONFIG)" -o -f "$(CONFIG)" || { echo "there is no $(CONFIG); SYSTEM is one of: $$(ls config/demo | sed 's/.yaml//' | tr '\n' ' ')"; exit 2; }
	$(SNAKEMAKE)
	@$(SNAKEMAKE) -n 2>&1 | grep -E "Nothing to be done" || { echo "a second run would do something: snakemake -n says what"; exit 1; }

qa-preview: setup  ## what a language model would be told about each clip, in full; nothing is sent
	@$(SNAKEMAKE) --quiet all -- qa_preview >&2
	@head -n 80 $(RUN)/qa_preview.txt
	@echo "... all of it: $(RUN)/qa_preview.txt"

review: setup  ## a page for a clinician: N answers to accept, fix or reject (N=100)
	$(SNAKEMAKE) data $(RUN)/config.resolved.yaml
	python workflow/scripts/review.py --run $(RUN) --count $(or $(N),100)

status: setup  ## each training: step, loss, time left, last sign of life
	@python workflow/scripts/status.py

compare: setup  ## RUNS=a,b: paired differences of runs, or of RUN/EXPERIMENT, with intervals and corrected p
	@test -n "$(RUNS)" || { echo "which runs? make compare RUNS=a,b (folders of results/), or RUNS=a/EXPERIMENT,a/OTHER"; exit 2; }
	@python workflow/scripts/compare.py --runs "$(RUNS)"


# These four take the run of DATA, SYSTEM or CONFIG=FILE, and the jobs as PROFILE=slurm makes them.
ABOUT = $(if $(CONFIG),--configfile $(CONFIG)) $(if $(SET),--config $(SET))
BY = $(if $(PROFILE),--profile $(PROFILE))

doctor: setup  ## what would fail later, with its cure: configuration, profile, cluster, disk, data, GPU
	@python workflow/scripts/doctor.py $(ABOUT) $(BY)

sanity-check: setup  ## doctor's checks of data and model, and a few steps of training (CONFIG=FILE)
	@python workflow/scripts/sanity_check.py --configfile $(or $(CONFIG),config/ssgvqa.yaml)

plan: setup  ## what each experiment will take: time, jobs, GPU-hours, disk, memory
	@python workflow/scripts/plan.py $(ABOUT) $(BY)

why: setup  ## what a run would make anew, and why, and what that took
	@python workflow/scripts/why.py $(ABOUT) $(if $(BY),-- $(BY))

accept: setup  ## take stale results as they are; the ledger keeps that
	@python workflow/scripts/why.py --accept $(ABOUT) $(if $(BY),-- $(BY))

bench: setup  ## the benchmarks, into benchmarks/results/
	for one in benchmarks/*.py; do python $$one --output benchmarks/results/$$(basename $$one .py).json; done
	python benchmarks/frozen_features.py --family surgvivqa --output benchmarks/results/frozen_features_surgvivqa.json

clean-cache: setup  ## delete cached frames and features of all runs, wherever they lie; they are made again when needed
	@python workflow/scripts/clean_cache.py
