# The figures that README quotes. Not part of `all`: it writes into the project, on request.


rule evidence:
    input:
        manifests=expand("results/stage{j}/manifest.json", j=range(LAST + 1)),
        summaries=expand("results/stage{j}/summary.json", j=range(LAST + 1)),
        scores=expand("results/eval/stage{j}/metrics.json", j=range(LAST + 1)),
    output:
        f"docs/evidence/{CONFIG.scale}-seed{CONFIG.seed}.json",
    log:
        "logs/evidence.log",
    benchmark:
        "benchmarks/evidence.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        command=f"snakemake --cores all --config scale={CONFIG.scale} seed={CONFIG.seed}",
    message:
        "Writing the evidence"
    shell:
        "exec python -m cogment_pipe evidence {output} --results results"
        " --benchmarks benchmarks --made-by {params.command:q} --log {log}"


rule grokking_evidence:
    input:
        table="results/benchmarks/grokking/table.json",
        manifest="results/benchmarks/grokking/manifest.json",
    output:
        "docs/evidence/grokking.json",
    log:
        "logs/evidence_grokking.log",
    benchmark:
        "benchmarks/evidence_grokking.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        folder=subpath(input.table, parent=True),
        command=grokking_command(),
    message:
        "Writing the evidence of the grokking benchmark"
    shell:
        "exec python -m cogment_pipe evidence {output} --results {params.folder}"
        " --benchmarks benchmarks --made-by {params.command:q} --log {log}"


rule generation_evidence:
    input:
        table="results/benchmarks/generation/table.json",
        manifest="results/benchmarks/generation/manifest.json",
    output:
        "docs/evidence/generation.json",
    log:
        "logs/evidence_generation.log",
    benchmark:
        "benchmarks/evidence_generation.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        folder=subpath(input.table, parent=True),
        command=f"snakemake --cores all results/benchmarks/generation/ --config scale={CONFIG.scale}",
    message:
        "Writing the evidence of the generation benchmark"
    shell:
        "exec python -m cogment_pipe evidence {output} --results {params.folder}"
        " --benchmarks benchmarks --made-by {params.command:q} --log {log}"
