# Everything from a fresh clone; each target sets up what is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
# wheel: a package of the official code; source: the code itself, from GitHub, which takes git and a C++ compiler
DETECTRON2 ?= $(or $(patsubst .venv/.setup-%,%,$(wildcard .venv/.setup-*)),wheel)
SETUP := .venv/.setup-$(DETECTRON2)
BIN := .venv/bin
# Bytecode is kept even where the environment says otherwise: pytest rewrites the tests' assertions in each process
PYTEST := PYTHONDONTWRITEBYTECODE= PYTHONUTF8=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder
# Tests that run whole graphs, install packages, or need a browser
PIPELINE := tests/workflow $(wildcard tests/report/page/test_browser_*.py)

.PHONY: help setup demo lint units pipeline test test-cluster test-remotes coverage mutants hashes audit clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

setup: $(SETUP) ## a venv in .venv with exact versions (DETECTRON2=source: detectron2 from GitHub)

$(SETUP): requirements.lock requirements-detectron2.txt bootstrap.py pyproject.toml
	@$(or $(PYTHON),$(error no Python found: install Python 3.11)) bootstrap.py --detectron2 $(DETECTRON2)
	@rm -f .venv/.setup-*
	@touch $@

demo: setup ## run params.yaml, out of the box the demo, and say where its report is
	@$(BIN)/snakemake --cores all
	@$(BIN)/python -c 'from bcnet import layout, params; print("Report:", layout.ReportFiles(layout.REPORTS / params.load().dataset).page)'

lint: setup ## lint, formats, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakemake --lint
	$(BIN)/snakefmt --check Snakefile workflow

units: setup ## the tests of functions and files
	$(PYTEST) $(addprefix --ignore=,$(PIPELINE))

pipeline: setup ## the tests of both workflow tools, of set-up and package, and of the report in a browser
	$(PYTEST) $(PIPELINE)

test: lint ## lint, formats, types, all tests
	$(PYTEST)

test-cluster: setup ## the pipeline as jobs of a SLURM that is installed and started here: as root on Debian
	@$(BIN)/pip install --quiet -r requirements-cluster.txt -c constraints.txt
	@folder=$$(mktemp -d) && tests/cluster/start_slurm.sh $$folder \
	    && { $(BIN)/pytest tests/cluster; status=$$?; tests/cluster/stop_slurm.sh $$folder; exit $$status; }

test-remotes: setup ## the tests of DVC remotes, with an S3 server and an sshd on loopback
	$(BIN)/pip install --quiet "dvc-s3" "dvc-ssh" "moto[s3]" flask flask-cors -c requirements.txt -c constraints.txt
	@test -x /usr/sbin/sshd || { test "$$(id -u)" = 0 && apt-get install --yes openssh-server; } || \
		echo "no sshd, its test is skipped (Debian: apt install openssh-server)"
	@test "$$(id -u)" != 0 || mkdir -p /run/sshd
	PYTHONUTF8=1 $(BIN)/pytest tests/workflow/test_remotes.py

coverage: setup ## which lines and branches the tests run, as htmlcov/index.html
	$(PYTEST) --cov --cov-report html --cov-report term

mutants: setup ## faults put into the code, one at a time, and which test notices each: an hour or two
	@$(BIN)/pip install --quiet -r requirements-mutants.txt -c constraints.txt
	$(BIN)/python -m tests.mutants

hashes: setup ## requirements.lock anew, after a change of pins (needs the package index)
	@$(BIN)/pip install --quiet -r requirements-pins.txt -c requirements.txt -c constraints.txt
	@{ sed '/^[^#]/,$$d' requirements.lock; $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header requirements.txt -c constraints.txt; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

audit: setup ## known vulnerabilities of the pinned versions (needs the network)
	@$(BIN)/pip install --quiet -r requirements-pins.txt -c requirements.txt -c constraints.txt
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.lock --progress-spinner off || \
	{ echo "audit: pip-audit found something, or could not ask the network: its line is above"; exit 1; }

clean: ## remove caches and logs; data, models, reports and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis logs
	find src tests workflow -name __pycache__ -type d -prune -exec rm -rf {} +
