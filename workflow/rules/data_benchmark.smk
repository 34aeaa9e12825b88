# How fast data are made, in CPU time. Not part of `all`: it writes into docs, on request.


rule data_throughput:
    input:
        data=expand("results/data/stage{j}/manifest.json", j=range(LAST + 1)),
    output:
        "docs/evidence/data-throughput.json",
    log:
        "logs/benchmarks/data.log",
    benchmark:
        "benchmarks/data_throughput.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=60,
    params:
        slices=all_stage_slices,
        data=expand("results/data/stage{j}", j=range(LAST + 1)),
        command=f"snakemake --cores 1 docs/evidence/data-throughput.json --config scale={CONFIG.scale} seed={CONFIG.seed}",
        source=source_hash("cogment_pipe.data_throughput"),
    message:
        "Measuring how fast data are made"
    shell:
        "exec python -m cogment_pipe benchmark data --data {params.data} --slice {params.slices:q}"
        " --made-by {params.command:q} --out {output} --log {log}"
