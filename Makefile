# Everything is done in virtual environments in this checkout; nothing else on the machine is touched.
PYTHON ?= python3
VENV ?= .venv
# What is installed to develop and test: dev, lowest (files of requirements/) or latest.
SET ?= dev
# TORCH=no leaves out PyTorch and the tests that need it, for a Python that its CPU build cannot be had for.
TORCH ?= yes
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The locks in requirements/ list everything, so pip has nothing to resolve (--no-deps) nor to compile, whatever its version.
LOCKED := $(PIP) --no-deps --only-binary :all:
ITSELF := $(PIP) --no-deps --no-build-isolation --editable .
EXTRAS_yes := torch,nir,sweep,cluster,dev
EXTRAS_no := nir,sweep,cluster,dev
ONLY_no := --no-torch
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test fuzz test-lowest test-latest test-pythons lock lint bench accuracy sweeps digits recipes leaderboard \
	reproduce clean

help:
	@echo "make demo    set up, then estimated against realistic energy of a trained SNN on two machines"
	@echo "make test    set up, then run the tests"
	@echo "make test-lowest  the tests with the lowest versions that pyproject.toml allows"
	@echo "make test-latest  the tests with the newest versions there are"
	@echo "make test-pythons the tests on Python 3.11, 3.12 and 3.13"
	@echo "make lock    write the locked versions (requirements/*.txt) again; UPGRADE=--upgrade takes the newest"
	@echo "make fuzz    set up, then feed 200,000 damaged inputs (FUZZ_INPUTS, FUZZ_SEED) to every command"
	@echo "make lint    set up, then formatting, lint, types and the import contract"
	@echo "make bench   set up, then run the benchmarks"
	@echo "make reproduce  do the published tables and figures again and rewrite reports/"
	@echo "make sweeps  run the bundled sweeps again and rewrite reports/sweeps (a few minutes)"
	@echo "make accuracy  make the tables and pictures of docs/accuracy.md again (half an hour)"
	@echo "make recipes train all recipes again, one after another, then make leaderboard (about half an hour)"
	@echo "make leaderboard  price the recipes' bundles again and rewrite reports/recipes and docs/recipes.md"
	@echo "make digits  train the digits SNN again and rewrite workloads/digits_snn"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "accelsim needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

# Two levels of set-up: what the simulator needs, and what developing it needs: PyTorch, and the tools that the tests compare with.
$(VENV)/.core: $(BIN)/python pyproject.toml requirements/core.txt
	$(LOCKED) -r requirements/core.txt
	$(ITSELF)
	@touch $@

# PyTorch comes from an index of its own (requirements/torch.txt), which is not to be asked for anything else.
$(VENV)/.torch-yes: $(BIN)/python requirements/torch.txt
	$(LOCKED) -r requirements/torch.txt
	@touch $@

$(VENV)/.torch-no: $(BIN)/python
	@touch $@

$(VENV)/.dev: $(VENV)/.core $(VENV)/.torch-$(TORCH) requirements/dev.txt
	$(LOCKED) -r requirements/dev.txt
	@touch $@

# The other sets are without the tools to compare with (requirements/peers.in), which judge what is computed, whatever computes
# it. PyTorch is the locked one in all of them: it is the lowest that pyproject.toml allows, since no CPU build of an older one
# was to be had to prove, and a newer one from PyPI would be gigabytes of CUDA.
$(VENV)/.lowest: $(VENV)/.torch-$(TORCH) pyproject.toml requirements/lowest.txt
	$(LOCKED) -r requirements/lowest.txt
	$(ITSELF)
	@touch $@

$(VENV)/.latest: $(VENV)/.torch-$(TORCH) pyproject.toml
	$(PIP) --editable ".[$(EXTRAS_$(TORCH))]"
	@touch $@

demo: $(VENV)/.core
	$(BIN)/accelsim compare workloads/digits_snn --hw sata --hw spikeflow --out out/demo
	@echo
	@echo "The picture is out/demo/comparison.png, every count x cost is in out/demo/bill.csv."

test: $(VENV)/.$(SET)
	$(BIN)/python -m pytest -n 2 tests $(ONLY_$(TORCH))

test-lowest:
	$(MAKE) test SET=lowest VENV=.venv-lowest

# In a new environment each time: what is newest changes without this checkout.
test-latest:
	rm -rf .venv-latest
	$(MAKE) test SET=latest VENV=.venv-latest

test-pythons:
	for version in 3.11 3.12 3.13; do $(MAKE) test PYTHON=python$$version VENV=.venv-$$version || exit 1; done

# uv resolves once for all Pythons and platforms (requirements/uv.toml); pip-tools would make a lock for each.
COMPILE := .venv-lock/bin/uv pip compile --quiet --config-file requirements/uv.toml $(UPGRADE) pyproject.toml requirements/build.in
lock: .venv-lock/bin/uv
	$(COMPILE) requirements/peers.in --all-extras -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt -o requirements/core.txt
	$(COMPILE) --all-extras --resolution lowest-direct -o requirements/lowest.txt

.venv-lock/bin/uv: Makefile
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@touch $@

# The same inputs every time, as in the tests but ten times as many; FUZZ_SEED=1 tries others.
fuzz: $(VENV)/.dev
	FUZZ_INPUTS=$${FUZZ_INPUTS:-200000} $(BIN)/python -m tests.fuzz

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m pytest benchmarks --benchmark-only -p no:xdist --override-ini addopts= -q

accuracy: $(VENV)/.dev
	$(BIN)/python reports/accuracy.py

# Journals stay in out/sweeps, so that what did not change since is not run again.
sweeps: $(VENV)/.core
	@mkdir -p out; for file in sweeps/*.yaml; do name=$$(basename $$file .yaml); \
		$(BIN)/accelsim sweep $$file --resume --out out/sweeps/$$name > out/sweeps_$$name.txt || exit 1; \
		mkdir -p reports/sweeps/$$name && cd out/sweeps/$$name && \
		cp pareto.png heat_*.png pareto.csv results.csv summary.json ../../../reports/sweeps/$$name/ && cd ../../.. || exit 1; \
	done

digits: $(VENV)/.dev
	$(BIN)/accelsim train digits_snn --out workloads/digits_snn

recipes: $(VENV)/.dev
	$(BIN)/python reports/recipes.py train
	$(BIN)/python reports/recipes.py l1
	$(BIN)/python reports/recipes.py few
	$(MAKE) leaderboard

leaderboard: $(VENV)/.core
	@mkdir -p out
	$(BIN)/accelsim leaderboard --out reports/recipes > out/leaderboard.txt
	$(BIN)/python reports/recipes.py page

reproduce: $(VENV)/.core
	@mkdir -p out
	$(BIN)/accelsim reproduce all --out reports
	$(BIN)/accelsim run vgg9_cifar10 --hw sata --out out/page > out/page.txt
	$(BIN)/accelsim report out/page/result.json
	@browser=$$(command -v chromium || command -v google-chrome) \
		&& $$browser --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1100,2600 \
			--screenshot=reports/page.png "file://$(CURDIR)/out/page/result.html" 2> out/browser.log \
		|| echo "no Chromium: reports/page.png stays as it is"

clean:
	rm -rf .venv .venv-* out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
