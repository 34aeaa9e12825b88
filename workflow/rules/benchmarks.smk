# Benchmarks beside the curriculum, on request: `snakemake results/benchmarks/grokking/`. Each arm
# and seed is a job of its own, outside the folder of the table, which Snakemake empties.

GROKKING = CONFIG.benchmarks.grokking


rule grokking_run:
    output:
        "results/benchmarks/runs/{suite}/{arm}-seed{seed}.jsonl",
    log:
        "logs/benchmarks/{suite}/{arm}-seed{seed}.log",
    benchmark:
        "benchmarks/{suite}/{arm}-seed{seed}.tsv"
    wildcard_constraints:
        suite="grokking|grokking_smoke",
        arm="[A-Za-z0-9_]+",
        seed="[0-9]+",
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        slice=grokking_arm_slice,
        folder=subpath(output[0], parent=True),
        source=source_hash("cogment_pipe.benchmarks.grokking.run"),
    message:
        "Grokking benchmark: arm {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "exec python -m cogment_pipe benchmark grokking run --arm {wildcards.arm}"
        " --seed {wildcards.seed} --slice {params.slice:q} --source {params.source}"
        " --out {params.folder} --log {log}"


rule grokking:
    input:
        runs=grokking_runs,
    output:
        folder=directory("results/benchmarks/{suite}"),
        table="results/benchmarks/{suite}/table.json",
        text="results/benchmarks/{suite}/table.md",
        figure="results/benchmarks/{suite}/curves.svg",
        manifest="results/benchmarks/{suite}/manifest.json",
    log:
        "logs/benchmarks/{suite}/table.log",
    benchmark:
        "benchmarks/{suite}/table.tsv"
    wildcard_constraints:
        suite="grokking|grokking_smoke",
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=slices.grokking_table_slice(CONFIG),
        source=source_hash("cogment_pipe.benchmarks.grokking.summary"),
    message:
        "Grokking benchmark: table and figure"
    shell:
        "exec python -m cogment_pipe benchmark grokking summarise --runs {input.runs}"
        " --slice {params.slice:q} --out {output.folder} --log {log}"


rule generation:
    output:
        folder=directory("results/benchmarks/generation"),
        table="results/benchmarks/generation/table.json",
        manifest="results/benchmarks/generation/manifest.json",
    log:
        "logs/benchmarks/generation.log",
    benchmark:
        "benchmarks/generation.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: CONFIG.threads
    resources:
        gpu=CONFIG.gpus,
        gpu_jobs=min(1, CONFIG.gpus),
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=30,
        device=CONFIG.runtime.device,
    params:
        slice=slices.generation_slice(CONFIG),
        source=source_hash("cogment_pipe.benchmarks.generation"),
    message:
        "Timing the generation of text with its cache and without"
    shell:
        "exec python -m cogment_pipe benchmark generation --slice {params.slice:q}"
        " --source {params.source} --out {output.folder} --device {resources.device} --log {log}"


rule filter_cost:
    output:
        folder=directory("results/benchmarks/filter"),
        table="results/benchmarks/filter/table.json",
        manifest="results/benchmarks/filter/manifest.json",
    log:
        "logs/benchmarks/filter.log",
    benchmark:
        "benchmarks/filter.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        timing_jobs=1,
        mem_mb=2000,
        runtime=10,
    params:
        slice=slices.filter_slice(CONFIG),
        source=source_hash("cogment_pipe.benchmarks.filter_cost"),
    message:
        "Timing a step of the gradient filter"
    shell:
        "exec python -m cogment_pipe benchmark filter --slice {params.slice:q}"
        " --source {params.source} --out {output.folder} --log {log}"
