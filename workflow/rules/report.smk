# The page is made from JSON artifacts alone: no checkpoint, no torch.


rule report:
    input:
        data=expand("results/data/stage{j}/manifest.json", j=range(LAST + 1)),
        # nothing is read from it: a page about leaking data is none
        leaks="results/data/leaks.json",
        stages=expand(
            "results/stage{j}/{name}",
            j=range(LAST + 1),
            name=["config.json", "metrics.jsonl", "summary.json", "manifest.json"],
        ),
        scores=expand(
            "results/eval/stage{j}/{name}",
            j=range(LAST + 1),
            name=["metrics.json", "predictions.jsonl"],
        ),
    output:
        page=report(
            "results/report/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"what": "The whole run, one page"},
        ),
        summary=report(
            "results/report/summary.json",
            caption="../report/summary.rst",
            category="Report",
            labels={"what": "Its main numbers"},
        ),
        retention=report(
            "results/report/retention.svg",
            caption="../report/retention.rst",
            category="Report",
            labels={"what": "Retention of every stage"},
        ),
    log:
        "logs/report.log",
    benchmark:
        "benchmarks/report.tsv"
    retries: 0
    conda:
        "../envs/cogment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        slice=slices.report_slice(CONFIG),
        folder=subpath(output.page, parent=True),
        source=source_hash("cogment_pipe.report.page"),
        # Template, style and script are no modules: their bytes count by themselves.
        assets=assets_digest(),
    message:
        "Writing the report page"
    shell:
        "exec python -m cogment_pipe report --results results --slice {params.slice:q}"
        " --out {params.folder} --log {log}"
