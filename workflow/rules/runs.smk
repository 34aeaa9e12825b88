# Runs beside the main one, each below results/runs/{run}: `seed{s}` is the whole curriculum,
# `{variant}-seed{s}` an ablation. The rules are those of the main run under other paths; what a run
# shares with one before it is taken from there (cogment_pipe/derived_runs.py).
VARIANTS = "|".join(["base", *CONFIG.ablations.variants])


wildcard_constraints:
    run=f"(?:(?:{VARIANTS})-)?seed[0-9]+",
    s="[0-9]+",


use rule split_corpus as split_corpus_of_run with:
    output:
        folder=directory("results/runs/{run}/data/corpus/stage{k}"),
        manifest="results/runs/{run}/data/corpus/stage{k}/manifest.json",
    log:
        "logs/runs/{run}/data/split_stage{k}.log",
    benchmark:
        "benchmarks/runs/{run}/data/split_stage{k}.tsv"
    message:
        "Splitting the text of stage {wildcards.k}, run {wildcards.run}"


use rule train_tokenizer as train_tokenizer_of_run with:
    input:
        manifests=expand(
            "results/runs/{{run}}/data/corpus/stage{j}/manifest.json", j=TEXT_STAGES
        ),
    output:
        tokenizer="results/runs/{run}/data/tokenizer.json",
        manifest="results/runs/{run}/data/tokenizer.manifest.json",
    log:
        "logs/runs/{run}/data/tokenizer.log",
    benchmark:
        "benchmarks/runs/{run}/data/tokenizer.tsv"
    params:
        slice=tokenizer_slice,
        folders=expand("results/runs/{{run}}/data/corpus/stage{j}", j=TEXT_STAGES),
        source=source_hash("cogment_pipe.data.tokenizer"),
    message:
        "Training the tokenizer, run {wildcards.run}"


use rule prepare_data as prepare_data_of_run with:
    output:
        folder=directory("results/runs/{run}/data/stage{k}"),
        manifest="results/runs/{run}/data/stage{k}/manifest.json",
    log:
        "logs/runs/{run}/data/stage{k}.log",
    benchmark:
        "benchmarks/runs/{run}/data/stage{k}.tsv"
    message:
        "Preparing the data of stage {wildcards.k}, run {wildcards.run}"


# In full, since the snapshots' folder is part of the command.
rule train_stage_of_run:
    input:
        data=training_data,
        init=first_weights,
    output:
        folder=directory("results/runs/{run}/stage{k}"),
        checkpoint="results/runs/{run}/stage{k}/checkpoint.pt",
        weights="results/runs/{run}/stage{k}/model.safetensors",
        config="results/runs/{run}/stage{k}/config.json",
        metrics="results/runs/{run}/stage{k}/metrics.jsonl",
        summary="results/runs/{run}/stage{k}/summary.json",
        manifest="results/runs/{run}/stage{k}/manifest.json",
    log:
        "logs/runs/{run}/train/stage{k}.log",
    benchmark:
        "benchmarks/runs/{run}/train/stage{k}.tsv"
    priority: 1
    retries: CONFIG.runtime.retries
    conda:
        "../envs/cogment.yaml"
    threads: torch_threads
    resources:
        gpu=CONFIG.gpus,
        gpu_jobs=min(1, CONFIG.gpus),
        mem_mb=lambda wildcards: CONFIG.runtime.of(int(wildcards.k)).memory_mb,
        runtime=lambda wildcards: CONFIG.runtime.of(int(wildcards.k)).minutes,
        snapshot_every=CONFIG.runtime.snapshot_every,
        log_every=CONFIG.runtime.log_every,
        device=CONFIG.runtime.device,
        on_change=CONFIG.on_environment_change,
    params:
        slice=stage_slice,
        data=training_folders,
        init=init_option,
        source=source_hash("cogment_pipe.trainer"),
    message:
        "Training stage {wildcards.k}, run {wildcards.run}"
    shell:
        "exec python -m cogment_pipe train --stage {wildcards.k} --slice {params.slice:q}"
        " --source {params.source} --data {params.data} {params.init} --out {output.folder}"
        " --snapshots results/.snapshots/runs/{wildcards.run}/stage{wildcards.k}"
        " --snapshot-every {resources.snapshot_every} --log-every {resources.log_every}"
        " --device {resources.device} --on-environment-change {resources.on_change} --log {log}"


use rule evaluate_stage as evaluate_stage_of_run with:
    input:
        checkpoint="results/runs/{run}/stage{k}/checkpoint.pt",
        data=tested_data,
        tokenizer=tested_tokenizer,
    output:
        folder=directory("results/runs/{run}/eval/stage{k}"),
        metrics="results/runs/{run}/eval/stage{k}/metrics.json",
        predictions="results/runs/{run}/eval/stage{k}/predictions.jsonl",
    log:
        "logs/runs/{run}/evaluate/stage{k}.log",
    benchmark:
        "benchmarks/runs/{run}/evaluate/stage{k}.tsv"
    message:
        "Evaluating the checkpoint of stage {wildcards.k}, run {wildcards.run}"


rule seed_scores:
    input:
        scores=lambda wildcards: [
            RUNS.score_file(f"seed{int(wildcards.s)}", k) for k in range(LAST + 1)
        ],
    output:
        folder=directory("results/seeds/{s}"),
        scores="results/seeds/{s}/scores.json",
        manifest="results/seeds/{s}/manifest.json",
    log:
        "logs/seeds/{s}.log",
    benchmark:
        "benchmarks/seeds/{s}.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        source=source_hash("cogment_pipe.ablations"),
    message:
        "Scores of the whole curriculum, seed {wildcards.s}"
    shell:
        "exec python -m cogment_pipe runs seed --scores {input.scores} --out {output.folder}"
        " --log {log}"
