# One rule for all five stages; each starts from the checkpoint of the stage before it.


rule train_stage:
    input:
        data=training_data,
        init=first_weights,
    output:
        # The folder is declared too, so that `results/stage4/` is a target as typed; Snakemake
        # empties it before the job, so nothing else may be written there.
        folder=directory("results/stage{k}"),
        checkpoint="results/stage{k}/checkpoint.pt",
        weights="results/stage{k}/model.safetensors",
        config="results/stage{k}/config.json",
        metrics="results/stage{k}/metrics.jsonl",
        summary=report(
            "results/stage{k}/summary.json",
            caption="../report/stage.rst",
            category="Stages",
            labels={"stage": "{k}", "what": "How it ended"},
        ),
        manifest="results/stage{k}/manifest.json",
    log:
        "logs/train/stage{k}.log",
    benchmark:
        "benchmarks/train/stage{k}.tsv"
    priority: 1
    retries: CONFIG.runtime.retries
    conda:
        "../envs/cogment.yaml"
    # --cores may shrink {threads}; torch takes its count from the slice, so the bits do not change.
    threads: CONFIG.threads
    resources:
        gpu=lambda wildcards: CONFIG.gpus * CONFIG.runtime.of(int(wildcards.k)).devices,
        devices=lambda wildcards: CONFIG.runtime.of(int(wildcards.k)).devices,
        gpu_jobs=min(1, CONFIG.gpus),
        mem_mb=lambda wildcards: CONFIG.runtime.of(int(wildcards.k)).memory_mb,
        runtime=lambda wildcards: CONFIG.runtime.of(int(wildcards.k)).minutes,
        # Resources are no rerun trigger: the place for what may not change a result.
        snapshot_every=CONFIG.runtime.snapshot_every,
        log_every=CONFIG.runtime.log_every,
        device=CONFIG.runtime.device,
        on_change=CONFIG.on_environment_change,
        events=events_folder,
    params:
        slice=stage_slice,
        data=training_folders,
        init=init_option,
        source=source_hash("cogment_pipe.trainer"),
    message:
        "Training stage {wildcards.k}"
    shell:
        "exec python -m cogment_pipe train --stage {wildcards.k} --slice {params.slice:q}"
        " --source {params.source} --data {params.data} {params.init} --out {output.folder}"
        " --snapshots results/.snapshots/stage{wildcards.k}"
        " --snapshot-every {resources.snapshot_every} --log-every {resources.log_every}"
        " --device {resources.device} --devices {resources.devices}"
        " --on-environment-change {resources.on_change}"
        " --events {resources.events} --log {log}"
