# What the rules beside the curriculum take: evidence, benchmarks, ablations, runs below
# results/runs/{run}. Called at planning, when all of these files are read.
from cogment_pipe.benchmarks.throughput import plan as throughput_plan


def of_run(function):
    """An input or parameter function (configuration of the run, run, stage) -> value."""

    @workflow_hooks.in_one_line
    def called(wildcards):
        return function(RUNS.config(wildcards.run), wildcards.run, int(wildcards.k))

    return called


def run_text(cfg, run, k):
    """Manifest of the split text of a run, for the stages that have text."""
    return (
        f"results/runs/{run}/data/corpus/stage{k}/manifest.json"
        if k in TEXT_STAGES
        else []
    )


def run_tokenizer(cfg, run, k):
    """The tokenizer of a run and its seal, for the stages that have text."""
    names = ("tokenizer.json", "tokenizer.manifest.json")
    return (
        [f"results/runs/{run}/data/{name}" for name in names]
        if k in TEXT_STAGES
        else []
    )


def run_text_options(cfg, run, k):
    """The command's options for stages that have text."""
    data = f"results/runs/{run}/data"
    return (
        f"--corpus {data}/corpus/stage{k} --tokenizer {data}/tokenizer.json"
        if k in TEXT_STAGES
        else ""
    )


def run_prepare_source(cfg, run, k):
    """Hash of the code that makes the arrays."""
    modules = task_kinds.prepare_modules(json.loads(configuration.data_slice(cfg, k)))
    return source_hash("cogment_pipe.data.prepare", *modules)


def run_split_source(cfg, run, k):
    """Hash of the code that splits the text."""
    modules = task_kinds.split_modules(json.loads(configuration.corpus_slice(cfg, k)))
    return source_hash("cogment_pipe.data.corpus", *modules)


def run_training_folders(cfg, run, k):
    """Data folders that stage k of a run trains on."""
    stages = range(k + 1) if cfg.stages[k].replay > 0 else [k]
    return [f"{RUNS.data_folder(run)}/stage{j}" for j in stages]


def run_first_weights(cfg, run, k):
    """The checkpoint that stage k of a run starts from."""
    if k:
        return f"{RUNS.stage_folder(run, k - 1)}/checkpoint.pt"
    return first_weights(type("Stage", (), {"k": 0}))


def run_tested(cfg, run, k):
    """Data folders that checkpoint k of a run is evaluated on: its own; the last one on all."""
    stages = range(LAST + 1) if k == LAST else [k]
    return [f"{RUNS.data_folder(run)}/stage{j}" for j in stages]


def manifests(folders):
    """The manifests of what a folder function gives."""
    return lambda cfg, run, k: [
        f"{folder}/manifest.json" for folder in folders(cfg, run, k)
    ]


TABLES = {
    "ablations": "results/ablations",
    **{
        name: f"results/benchmarks/{name}"
        for name in ("filter", "generation", "grokking", "throughput")
    },
}


def table_file(name):
    """An input function: the file of that name in the folder of a table."""
    return lambda wildcards: f"{TABLES[wildcards.table]}/{name}"


def table_command(wildcards):
    """The command that makes a table as it is configured here."""
    command = f"snakemake --cores all {TABLES[wildcards.table]}/ --config scale={CONFIG.scale}"
    only = {"ablations": CONFIG.ablations, "grokking": CONFIG.benchmarks.grokking}
    keys = {"ablations": "ablations.only", "grokking": "benchmarks.grokking.only"}
    chosen = getattr(only.get(wildcards.table), "only", None)
    if chosen is None:
        return command
    return f"{command} set='{keys[wildcards.table]}=[{','.join(chosen)}]'"


def grokking_runs(wildcards):
    """Run files of all arms and seeds of a suite."""
    return [
        f"results/benchmarks/runs/{wildcards.suite}/{arm}-seed{seed}.jsonl"
        for arm, seed in GROKKING.runs(wildcards.suite)
    ]


def grokking_arm_slice(wildcards):
    """What a run of an arm depends on."""
    return configuration.grokking_slice(CONFIG, wildcards.suite, wildcards.arm)


def throughput_cell_slice(wildcards):
    """What a timed cell depends on; scales other than the run's own as they are shipped."""
    place = (wildcards.suite, wildcards.scale, int(wildcards.k))
    return throughput_plan.cell_slice(PROJECT, CONFIG, *place)


def throughput_runs(wildcards):
    """Files of all cells of a suite, of its curves and of its start."""
    cells = throughput_plan.cells(CONFIG.benchmarks.throughput.plan(wildcards.suite))
    return [
        f"results/benchmarks/runs/{wildcards.suite}/{name}.jsonl"
        for name in (*cells, "sweep", "start")
    ]


def all_stage_slices(wildcards):
    """The training slices of all stages, by number."""
    slices = {
        k: json.loads(configuration.stage_slice(CONFIG, k)) for k in range(LAST + 1)
    }
    return json.dumps(slices, sort_keys=True)


@workflow_hooks.in_one_line
def compared_scores(wildcards):
    """Score files of all compared runs, each once."""
    return list(dict.fromkeys(RUNS.score_file(run, k) for run, k in COMPARED))


@workflow_hooks.in_one_line
def ablations_slice(wildcards):
    """Which score file belongs to which variant, seed and stage."""
    return RUNS.comparison()
