# The same puzzles in the same seconds by peers' own classes, on request: `snakemake --cores all
# results/benchmarks/peers/`. They come from a clone that benchmarks.peers.checkout names.

PEERS = CONFIG.benchmarks.peers


rule peers_try:
    input:
        data="results/benchmarks/puzzles_data/{task}.npz",
        clone=peers_clone,
    output:
        "results/benchmarks/peers_runs/{peer}-{task}-{seconds}s/try{number}.json",
    log:
        "logs/benchmarks/peers/{peer}-{task}-{seconds}s-try{number}.log",
    benchmark:
        "benchmarks/peers/{peer}-{task}-{seconds}s-try{number}.tsv"
    wildcard_constraints:
        peer="|".join(PEERS.classes) or "none",
        task="|".join(PUZZLES.tasks),
        seconds="[0-9]+",
        number="[0-9]+",
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: PUZZLES.threads or CONFIG.threads
    resources:
        timing_jobs=1,
        mem_mb=3000,
        runtime=60,
    params:
        slice=peers_slice,
        source=source_hash("cogment_pipe.benchmarks.peers.run"),
        checkout=PEERS.checkout,
    message:
        "Trying {wildcards.peer} on {wildcards.task}, setting {wildcards.number}"
    shell:
        "exec python -m cogment_pipe benchmark peers run --slice {params.slice:q}"
        " --checkout {params.checkout:q} --data {input.data} --out {output} --log {log}"


rule peers_run:
    input:
        data="results/benchmarks/puzzles_data/{task}.npz",
        clone=peers_clone,
        tries=expand(
            "results/benchmarks/peers_runs/{peer}-{task}-{seconds}s/try{number}.json",
            number=range(len(PEERS.search)),
            allow_missing=True,
        ),
    output:
        "results/benchmarks/peers_runs/{peer}-{task}-{seconds}s/seed{seed}.json",
    log:
        "logs/benchmarks/peers/{peer}-{task}-{seconds}s-seed{seed}.log",
    benchmark:
        "benchmarks/peers/{peer}-{task}-{seconds}s-seed{seed}.tsv"
    wildcard_constraints:
        peer="|".join(PEERS.classes) or "none",
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
    params:
        slice=peers_slice,
        source=source_hash("cogment_pipe.benchmarks.peers.run"),
        checkout=PEERS.checkout,
    message:
        "Training {wildcards.peer} on {wildcards.task}, seed {wildcards.seed}"
    shell:
        "exec python -m cogment_pipe benchmark peers run --slice {params.slice:q}"
        " --checkout {params.checkout:q} --data {input.data} --tries {input.tries}"
        " --out {output} --log {log}"


rule peers:
    input:
        ours=expand(
            "results/benchmarks/puzzles_runs/{run}/fit.json",
            run=PUZZLES.runs(PEERS.tasks),
        ),
        theirs=expand(
            "results/benchmarks/peers_runs/{run}.json",
            run=PEERS.runs(PUZZLES.seconds(), PUZZLES.seeds),
        ),
    output:
        folder=directory("results/benchmarks/peers"),
        table="results/benchmarks/peers/table.json",
        manifest="results/benchmarks/peers/manifest.json",
    log:
        "logs/benchmarks/peers/table.log",
    benchmark:
        "benchmarks/peers/table.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        source=source_hash("cogment_pipe.benchmarks.peers.table"),
    message:
        "`fit` beside peers: table"
    shell:
        "exec python -m cogment_pipe benchmark peers compare --ours {input.ours}"
        " --theirs {input.theirs} --out {output.folder} --log {log}"
