# Cogment Pipe: data, five curriculum stages, evaluation and report. What to run is in config.yaml
# (a comment over each key), how to run it in profiles/; helper functions are in common.smk.
from snakemake.utils import min_version

min_version("9.5")


include: "workflow/rules/common.smk"
include: "workflow/rules/common_extras.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/publish.smk"
include: "workflow/rules/benchmarks.smk"
include: "workflow/rules/throughput.smk"
include: "workflow/rules/puzzles.smk"
include: "workflow/rules/peers.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/ablations.smk"
include: "workflow/rules/data_benchmark.smk"
include: "workflow/rules/data_figures.smk"


rule all:
    default_target: True
    input:
        "results/report/index.html",
        f"results/stage{LAST}",


onstart:
    before_run(workflow)


onsuccess:
    after_run(workflow)
