# How fast training steps are, and how long the start takes, on request: `snakemake --cores all
# results/benchmarks/throughput/`. A job times alone: `timing_jobs` is 1 in profiles/default, and a
# machine that does other work meanwhile spoils the figures (each says how busy it was).

SPEED = "throughput|throughput_smoke"


rule throughput_cell:
    output:
        "results/benchmarks/runs/{suite}/{scale}-stage{k}.jsonl",
    log:
        "logs/benchmarks/{suite}/{scale}-stage{k}.log",
    benchmark:
        "benchmarks/{suite}/{scale}-stage{k}.tsv"
    wildcard_constraints:
        suite=SPEED,
        scale="tiny|small|full",
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: CONFIG.threads
    resources:
        timing_jobs=1,
        mem_mb=16000,
        runtime=60,
        device=CONFIG.runtime.device,
    params:
        slice=throughput_cell_slice,
        source=source_hash("cogment_pipe.benchmarks.throughput.measure"),
    message:
        "Timing stage {wildcards.k} at scale {wildcards.scale}"
    shell:
        "exec python -m cogment_pipe benchmark throughput cell --slice {params.slice:q}"
        " --device {resources.device} --out {output} --log {log}"


rule throughput_sweep:
    output:
        "results/benchmarks/runs/{suite}/sweep.jsonl",
    log:
        "logs/benchmarks/{suite}/sweep.log",
    benchmark:
        "benchmarks/{suite}/sweep.tsv"
    wildcard_constraints:
        suite=SPEED,
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: CONFIG.threads
    resources:
        timing_jobs=1,
        mem_mb=16000,
        runtime=60,
        device=CONFIG.runtime.device,
    params:
        slice=lambda wildcards: throughput_plan.sweep_slice(
            PROJECT, CONFIG, wildcards.suite
        ),
        source=source_hash("cogment_pipe.benchmarks.throughput.sweep"),
    message:
        "Timing steps of more and more refinement steps and segments"
    shell:
        "exec python -m cogment_pipe benchmark throughput sweep --slice {params.slice:q}"
        " --device {resources.device} --out {output} --log {log}"


rule throughput_start:
    output:
        "results/benchmarks/runs/{suite}/start.jsonl",
    log:
        "logs/benchmarks/{suite}/start.log",
    benchmark:
        "benchmarks/{suite}/start.tsv"
    wildcard_constraints:
        suite=SPEED,
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: CONFIG.threads
    resources:
        timing_jobs=1,
        mem_mb=3000,
        runtime=60,
    params:
        slice=lambda wildcards: throughput_plan.start_slice(CONFIG, wildcards.suite),
        source=source_hash("cogment_pipe.benchmarks.throughput.start"),
    message:
        "Timing how long the start takes, and what the workflow costs around its commands"
    shell:
        "exec python -m cogment_pipe benchmark throughput start --slice {params.slice:q}"
        " --out {output} --log {log}"


rule throughput:
    input:
        runs=throughput_runs,
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
        suite=SPEED,
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        source=source_hash("cogment_pipe.benchmarks.throughput.summary"),
    message:
        "Speed: table and figure"
    shell:
        "exec python -m cogment_pipe benchmark throughput summarise --runs {input.runs}"
        " --out {output.folder} --log {log}"


rule whole_run:
    output:
        folder=directory("results/benchmarks/whole_run"),
        table="results/benchmarks/whole_run/table.json",
        manifest="results/benchmarks/whole_run/manifest.json",
        run=directory("results/benchmarks/whole_run_files"),
    log:
        "logs/benchmarks/whole_run.log",
    benchmark:
        "benchmarks/whole_run.tsv"
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: CONFIG.threads
    resources:
        timing_jobs=1,
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=CONFIG.runtime.minutes,
    params:
        slice=slices.whole_run_slice(CONFIG),
        source=source_hash("cogment_pipe.benchmarks.whole_run"),
    message:
        "Timing a whole run, and what of it passes around its commands"
    shell:
        "exec python -m cogment_pipe benchmark run --slice {params.slice:q}"
        " --source {params.source} --work {output.run} --out {output.folder} --log {log}"
