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


# The same for what has a table of its own: benchmarks and ablations.
rule table_evidence:
    input:
        table=table_file("table.json"),
        manifest=table_file("manifest.json"),
    output:
        "docs/evidence/{table}.json",
    log:
        "logs/evidence_{table}.log",
    benchmark:
        "benchmarks/evidence_{table}.tsv"
    wildcard_constraints:
        table="|".join(TABLES),
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        folder=subpath(input.table, parent=True),
        command=table_command,
    message:
        "Writing the evidence {wildcards.table}"
    shell:
        "exec python -m cogment_pipe evidence {output} --results {params.folder}"
        " --benchmarks benchmarks --made-by {params.command:q} --log {log}"
