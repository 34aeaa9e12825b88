# `make run` is all a newcomer needs: environment, all five stages, evaluation, report.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
SEEDS ?= 0 1 2
ARGS ?=

.PHONY: run test test-slow test-slurm slurm science lint report evidence evidence-grokking
.PHONY: evidence-ablations evidence-puzzles evidence-peers evidence-speed
.PHONY: figures pretrained docs clean distclean

run: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) all results/stage4/ $(ARGS)

# The page alone, from artifacts, whatever else is stale.
report: $(VENV)/.done
	$(BIN)/snakemake --cores 1 results/report/index.html -R report --allowed-rules report $(ARGS)

# Evidence files are tracked, and one without its artifacts counts as up to date: hence the artifacts
# are targets too.
# Whole runs at `small`, one per seed, each in a folder of its own under results/runs; their figures
# into docs/evidence, and the table of them into README. A quarter of an hour a seed.
evidence: $(VENV)/.done
	for seed in $(SEEDS); do \
		$(BIN)/snakemake all results/stage4/ docs/evidence/small-seed$$seed.json --cores $(CORES) \
			-s Snakefile --directory results/runs/seed$$seed --config scale=small seed=$$seed && \
		cp results/runs/seed$$seed/docs/evidence/small-seed$$seed.json docs/evidence/ || exit 1; \
	done
	$(BIN)/python -m cogment_pipe evidence docs/evidence/small-seed*.json --readme README.md

# The grokking benchmark (30 runs, about 40 CPU minutes), its evidence, and its table into README.
evidence-grokking: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) results/benchmarks/grokking/ docs/evidence/grokking.json --config scale=small
	$(BIN)/python -m cogment_pipe evidence docs/evidence/grokking.json --readme README.md

# Every ablation at a third of `small`, 84 trainings: about an hour and a half on two cores.
evidence-ablations: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) results/ablations/ docs/evidence/ablations.json --config scale=small
	$(BIN)/python -m cogment_pipe evidence docs/evidence/ablations.json --readme docs/ablations.md

# How fast it is: more than twenty minutes on two quiet cores; into docs/performance.md.
evidence-speed: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) results/benchmarks/throughput/ docs/evidence/throughput.json --config scale=small
	$(BIN)/python -m cogment_pipe evidence docs/evidence/throughput.json --readme docs/performance.md

# What `fit` solves after so many seconds: 70 minutes on two quiet cores; into docs/performance.md.
evidence-puzzles: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) results/benchmarks/puzzles/ docs/evidence/puzzles.json --config scale=small
	$(BIN)/python -m cogment_pipe evidence docs/evidence/puzzles.json --readme docs/performance.md

# The same by a peer's class, from a clone of its repository: make evidence-peers CLONE=../TRM
evidence-peers: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) results/benchmarks/peers/ docs/evidence/peers.json \
		--config scale=small set='benchmarks.peers.checkout=$(CLONE)'
	$(BIN)/python -m cogment_pipe evidence docs/evidence/peers.json --readme docs/performance.md

# README's pictures from a finished `small` run; the one of the page needs chromium.
figures: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) docs/figures/maze.png docs/figures/data-stage0.png \
		docs/figures/data-stage1.png docs/figures/data-stage2.png docs/figures/data-stage3.png \
		docs/figures/data-stage4.png --config scale=small

# Weights of all stages with their model cards, into results/pretrained.
pretrained: $(VENV)/.done
	$(BIN)/snakemake --cores $(CORES) results/pretrained $(ARGS)

# The page about config.yaml and its schema for editors.
docs: $(VENV)/.done
	$(BIN)/python -m cogment_pipe config docs --out docs/config.md
	$(BIN)/python -m cogment_pipe config schema --out docs/config.schema.json

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not science and not slow and not slurm" $(ARGS)

# The page in a browser, Snakemake's own report, the grokking arms in short, text on two processes.
# The ordinary suite kills a run of five stages twenty times; two hundred kills:
# python -m tests.resume.kills --kills 200
test-slow: $(VENV)/.done
	$(BIN)/python -m pytest -m slow $(ARGS)

# Starts a real Slurm on the loopback interface; needs root and Debian's packages slurmctld, slurmd,
# slurm-client and munge, else it is skipped.
test-slurm: $(VENV)/.done $(VENV)/slurm/.done
	$(BIN)/python -m pytest -m slurm $(ARGS)

# The executor for Slurm, apart from the rest: Snakemake imports every executor that it finds at
# every call, and this one takes its time. For use: `PYTHONPATH=.venv/slurm snakemake --profile profiles/slurm`.
slurm: $(VENV)/slurm/.done

$(VENV)/slurm/.done: requirements-slurm.lock $(VENV)/.done
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) -r $<
	touch $@

# Trains until something is learnt: about 15 minutes on two quiet cores.
science: $(VENV)/.done
	$(BIN)/python -m pytest -m science $(ARGS)

# In a folder of its own: results of another scale refuse `tiny`.
lint: $(VENV)/.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint --directory $(VENV)/lint --config scale=tiny

# Built anew when the lock file changes.
$(VENV)/.done: requirements.lock
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python >= 3.11 is needed: make run PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

# Logs, times and caches; results and snapshots stay.
clean:
	rm -rf logs benchmarks .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Results too, and the environment.
distclean: clean
	rm -rf results .snakemake $(VENV)
