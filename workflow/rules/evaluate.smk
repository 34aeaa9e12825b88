# Checkpoint k on the test sets of all stages: one row of the report's score matrix.


rule evaluate_stage:
    input:
        checkpoint="results/stage{k}/checkpoint.pt",
        data=tested_data,
        tokenizer=tested_tokenizer,
    output:
        folder=directory("results/eval/stage{k}"),
        metrics=report(
            "results/eval/stage{k}/metrics.json",
            caption="../report/scores.rst",
            category="Stages",
            labels={"stage": "{k}", "what": "Scores on all test sets"},
        ),
        predictions="results/eval/stage{k}/predictions.jsonl",
    log:
        "logs/evaluate/stage{k}.log",
    benchmark:
        "benchmarks/evaluate/stage{k}.tsv"
    retries: CONFIG.runtime.retries
    conda:
        "../envs/cogment.yaml"
    threads: evaluation_threads
    resources:
        gpu=CONFIG.gpus,
        gpu_jobs=min(1, CONFIG.gpus),
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=CONFIG.runtime.minutes,
        device=CONFIG.runtime.device,
    params:
        slice=evaluation_slice,
        data=tested_folders,
        source=source_hash("cogment_pipe.evaluator"),
    message:
        "Evaluating the checkpoint of stage {wildcards.k} on every stage's test set"
    shell:
        "exec python -m cogment_pipe evaluate --stage {wildcards.k} --slice {params.slice:q}"
        " --checkpoint {input.checkpoint} --data {params.data} --out {output.folder}"
        " --device {resources.device} --log {log}"
