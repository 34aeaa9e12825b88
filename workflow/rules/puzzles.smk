# What `fit` solves of unseen puzzles after so many seconds, on request: `snakemake --cores all
# results/benchmarks/puzzles/`. A run trains alone (`timing_jobs`), by the command a user would type.

PUZZLES = CONFIG.benchmarks.puzzles


rule puzzles_file:
    output:
        "results/benchmarks/puzzles_data/{task}.npz",
    log:
        "logs/benchmarks/puzzles/{task}.log",
    benchmark:
        "benchmarks/puzzles/{task}.tsv"
    wildcard_constraints:
        task="|".join(PUZZLES.tasks),
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        slice=lambda wildcards: slices.puzzles_slice(CONFIG, wildcards.task),
        source=source_hash("cogment_pipe.benchmarks.puzzle_files"),
    message:
        "Making puzzles {wildcards.task}"
    shell:
        "exec python -m cogment_pipe benchmark puzzles data --slice {params.slice:q}"
        " --out {output} --log {log}"


rule puzzles_fit:
    input:
        "results/benchmarks/puzzles_data/{task}.npz",
    output:
        folder=directory("results/benchmarks/puzzles_runs/{task}-{seconds}s-seed{seed}"),
        record="results/benchmarks/puzzles_runs/{task}-{seconds}s-seed{seed}/fit.json",
    log:
        "logs/benchmarks/puzzles/{task}-{seconds}s-seed{seed}.log",
    benchmark:
        "benchmarks/puzzles/{task}-{seconds}s-seed{seed}.tsv"
    wildcard_constraints:
        task="|".join(PUZZLES.tasks),
        seconds="[0-9]+",
        seed="[0-9]+",
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: PUZZLES.threads or CONFIG.threads
    resources:
        timing_jobs=1,
        mem_mb=3000,
        runtime=60,
        device=CONFIG.runtime.device,
    params:
        words=puzzles_words,
        source=source_hash("cogment_pipe.fit"),
    message:
        "Fitting {wildcards.task} for {wildcards.seconds} s, seed {wildcards.seed}"
    shell:
        "exec python -m cogment_pipe fit --data {input} --seconds {wildcards.seconds}"
        " --seed {wildcards.seed} --threads {threads} --device {resources.device}"
        " {params.words} --out {output.folder} --log {log}"


rule puzzles:
    input:
        runs=expand(
            "results/benchmarks/puzzles_runs/{run}/fit.json", run=PUZZLES.runs()
        ),
    output:
        folder=directory("results/benchmarks/puzzles"),
        table="results/benchmarks/puzzles/table.json",
        manifest="results/benchmarks/puzzles/manifest.json",
    log:
        "logs/benchmarks/puzzles/table.log",
    benchmark:
        "benchmarks/puzzles/table.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=slices.puzzles_table_slice(CONFIG),
        source=source_hash("cogment_pipe.benchmarks.puzzle_table"),
    message:
        "Puzzles solved by `fit`: table"
    shell:
        "exec python -m cogment_pipe benchmark puzzles summarise --runs {input.runs}"
        " --slice {params.slice:q} --out {output.folder} --log {log}"
