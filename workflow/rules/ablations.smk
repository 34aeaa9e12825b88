# Variants of the curriculum against the configuration as it is: `snakemake results/ablations/`. The
# runs are those of runs.smk; a stage that a variant does not change is the base run's.

COMPARED = [
    (f"{variant}-seed{seed}", k)
    for variant, seeds in CONFIG.ablations.compared().items()
    for seed in seeds
    for k in range(LAST + 1)
]


rule ablations:
    input:
        scores=compared_scores,
    output:
        folder=directory("results/ablations"),
        table="results/ablations/table.json",
        text="results/ablations/table.md",
        manifest="results/ablations/manifest.json",
    log:
        "logs/ablations.log",
    benchmark:
        "benchmarks/ablations.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        slice=ablations_slice,
        source=source_hash("cogment_pipe.ablations"),
    message:
        "Comparing the ablations"
    shell:
        "exec python -m cogment_pipe runs compare --slice {params.slice:q} --out {output.folder}"
        " --log {log}"
