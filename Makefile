# Everything is done in a virtual environment in this checkout; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: recipes leaderboard reproduce demo test lint bench accuracy sweeps digits clean help

help:
	@echo "make demo    set up, then estimated against realistic energy of a trained SNN on two machines"
	@echo "make test    set up, then run the tests"
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

# Two levels of set-up: what the simulator needs, and what developing it needs (torch among it).
$(VENV)/.core: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e ".[torch,sweep,cluster,dev]"
	@touch $@

# The tools that the tests compare with; the tests of a tool that cannot be had are skipped.
$(VENV)/.peers: $(VENV)/.dev requirements-peers.txt requirements-peers-bare.txt
	$(PIP) -r requirements-peers.txt && $(PIP) --no-deps -r requirements-peers-bare.txt \
		|| echo "some peer tools could not be installed; their tests will be skipped"
	@touch $@

demo: $(VENV)/.core
	$(BIN)/accelsim compare workloads/digits_snn --hw sata --hw spikeflow --out out/demo
	@echo
	@echo "The picture is out/demo/comparison.png, every count x cost is in out/demo/bill.csv."

test: $(VENV)/.peers
	$(BIN)/python -m pytest -n 2 tests

lint: $(VENV)/.peers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.peers
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
	$(BIN)/python -m accelsim.snn.digits --out workloads/digits_snn --seed 0

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
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
