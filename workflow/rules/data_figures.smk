# Pictures of the data for docs/data.md. Not part of `all`: they are written into docs, on request.


rule data_figure:
    input:
        data="results/data/stage{k}/manifest.json",
        tokenizer=tokenizer_file,
    output:
        "docs/figures/data-stage{k}.png",
    log:
        "logs/figures/data_stage{k}.log",
    benchmark:
        "benchmarks/figures/data_stage{k}.tsv"
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        data=subpath(input.data, parent=True),
        source=source_hash("cogment_pipe.data.pictures"),
    message:
        "Drawing items of stage {wildcards.k}"
    shell:
        "exec python -m cogment_pipe data draw {params.data} --out {output} --log {log}"
