# What leaves the results: weights with their cards, and README's pictures. Not part of `all`.


rule pretrained:
    input:
        stages=expand(
            "results/stage{j}/{name}",
            j=range(LAST + 1),
            name=["model.safetensors", "config.json", "summary.json", "manifest.json"],
        ),
        scores=expand("results/eval/stage{j}/metrics.json", j=range(LAST + 1)),
        data=expand("results/data/stage{j}/manifest.json", j=range(LAST + 1)),
        tokenizer=["results/data/tokenizer.json"] if LAST >= min(TEXT_STAGES) else [],
    output:
        folder=directory("results/pretrained"),
    log:
        "logs/pretrained.log",
    benchmark:
        "benchmarks/pretrained.tsv"
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        source=source_hash("cogment_pipe.export"),
    message:
        "Packing the weights of all stages with their cards"
    shell:
        "exec python -m cogment_pipe pack --results results --out {output.folder} --log {log}"


rule figures:
    input:
        predictions="results/eval/stage2/predictions.jsonl",
        page="results/report/index.html",
    output:
        maze="docs/figures/maze.png",
        page="docs/figures/report.png",
    log:
        "logs/figures.log",
    benchmark:
        "benchmarks/figures.tsv"
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        folder=subpath(output.maze, parent=True),
        source=source_hash("cogment_pipe.report.figures"),
    message:
        "Drawing README's pictures"
    shell:
        "exec python -m cogment_pipe figures --results results --out {params.folder} --log {log}"
