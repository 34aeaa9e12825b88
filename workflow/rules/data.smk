# Text DAG: split_corpus -> train_tokenizer -> prepare_data. Grid stages need the last one only.


rule split_corpus:
    input:
        files=corpus_files,
    output:
        folder=directory("results/data/corpus/stage{k}"),
        manifest="results/data/corpus/stage{k}/manifest.json",
    log:
        "logs/data/split_stage{k}.log",
    benchmark:
        "benchmarks/data/split_stage{k}.tsv"
    # A broken corpus stays broken: saying so twice helps nobody.
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=60,
    params:
        slice=corpus_slice,
        source=split_source,
    message:
        "Splitting the text of stage {wildcards.k} by task"
    shell:
        "exec python -m cogment_pipe data split --stage {wildcards.k} --slice {params.slice:q}"
        " --out {output.folder} --log {log}"


rule train_tokenizer:
    input:
        manifests=expand("results/data/corpus/stage{j}/manifest.json", j=TEXT_STAGES),
    output:
        tokenizer="results/data/tokenizer.json",
        manifest="results/data/tokenizer.manifest.json",
    log:
        "logs/data/tokenizer.log",
    benchmark:
        "benchmarks/data/tokenizer.tsv"
    # A broken corpus stays broken: saying so twice helps nobody.
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=60,
    params:
        slice=tokenizer_slice,
        folders=expand("results/data/corpus/stage{j}", j=TEXT_STAGES),
        source=source_hash("cogment_pipe.data.tokenizer"),
    message:
        "Training the tokenizer on the training splits"
    shell:
        "exec python -m cogment_pipe data tokenizer --slice {params.slice:q}"
        " --corpus {params.folders} --out {output.tokenizer} --log {log}"


rule prepare_data:
    input:
        files=grid_files,
        corpus=split_text,
        tokenizer=tokenizer_file,
    output:
        folder=directory("results/data/stage{k}"),
        manifest="results/data/stage{k}/manifest.json",
    log:
        "logs/data/stage{k}.log",
    benchmark:
        "benchmarks/data/stage{k}.tsv"
    # A broken corpus stays broken: saying so twice helps nobody.
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=120,
    params:
        slice=data_slice,
        text=text_options,
        source=prepare_source,
    message:
        "Preparing the data of stage {wildcards.k}"
    shell:
        "exec python -m cogment_pipe data prepare --stage {wildcards.k} --slice {params.slice:q}"
        " {params.text} --out {output.folder} --log {log}"


# Fails where one task learns what another one tests; the report waits for it, training does not.
rule check_leaks:
    input:
        data=expand("results/data/stage{j}/manifest.json", j=range(LAST + 1)),
        corpora=expand("results/data/corpus/stage{j}/manifest.json", j=TEXT_UP_TO_LAST),
    output:
        "results/data/leaks.json",
    log:
        "logs/data/leaks.log",
    benchmark:
        "benchmarks/data/leaks.tsv"
    # As soon as the data are there: before hours of training, where a run has both to do.
    priority: 10
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=CONFIG.runtime.memory_mb,
        runtime=60,
    params:
        data=expand("results/data/stage{j}", j=range(LAST + 1)),
        corpora=expand("results/data/corpus/stage{j}", j=TEXT_UP_TO_LAST),
        source=source_hash("cogment_pipe.data.cross_leaks"),
    message:
        "Comparing training and test items across tasks and stages"
    shell:
        "exec python -m cogment_pipe data leaks --data {params.data} --corpus {params.corpora}"
        " --out {output} --log {log}"
