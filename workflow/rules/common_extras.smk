# What the rules beside the curriculum take: evidence, benchmarks, ablations, runs below
# results/runs/{run}. Called at planning, when all of these files are read.
import shlex

from cogment_pipe.benchmarks.throughput import plan as throughput_plan

TABLES = {
    "ablations": "results/ablations",
    **{
        name: f"results/benchmarks/{name}"
        for name in (
            "filter",
            "generation",
            "grokking",
            "peers",
            "puzzles",
            "throughput",
            "whole_run",
        )
    },
}


def table_file(name):
    """An input function: the file of that name in the folder of a table."""
    return lambda wildcards: f"{TABLES[wildcards.table]}/{name}"


def table_command(wildcards):
    """The command that makes a table as it is configured here."""
    name = wildcards.table
    command = f"snakemake --cores all {TABLES[name]}/ --config scale={CONFIG.scale}"
    if name == "peers":  # whose path means nothing elsewhere
        return f"{command} set='benchmarks.peers.checkout=CLONE'"
    key, chosen = {
        "ablations": ("ablations.only", CONFIG.ablations.only),
        "grokking": ("benchmarks.grokking.only", CONFIG.benchmarks.grokking.only),
        "puzzles": ("benchmarks.puzzles.only", CONFIG.benchmarks.puzzles.only),
    }.get(name, (None, None))
    return command if chosen is None else f"{command} set='{key}=[{','.join(chosen)}]'"


def grokking_runs(wildcards):
    """Run files of all arms and seeds of a suite."""
    return [
        f"results/benchmarks/runs/{wildcards.suite}/{arm}-seed{seed}.jsonl"
        for arm, seed in GROKKING.runs(wildcards.suite)
    ]


def grokking_arm_slice(wildcards):
    """What a run of an arm depends on."""
    return slices.grokking_slice(CONFIG, wildcards.suite, wildcards.arm)


def puzzles_words(wildcards):
    """What `fit` is told of a puzzle task besides data, budget and seed."""
    task = PUZZLES.tasks[wildcards.task]
    augment = [f"--augment {','.join(task.augment)}"] if task.augment else []
    views = [f"--views {task.views}"] if task.views > 1 else []
    return " ".join(
        [*augment, *views, *(f"--set {shlex.quote(word)}" for word in task.set)]
    )


def peers_clone(wildcards):
    """The peer's own loss, in the clone that the configuration names."""
    if PEERS.checkout is None:
        raise WorkflowError(
            "benchmarks.peers.checkout is null: clone the peer's repository"
            " (docs/performance.md says which) and name its folder"
        )
    return f"{PEERS.checkout}/models/losses.py"


def peers_slice(wildcards):
    """What a try, or the run of a seed, depends on."""
    place = (wildcards.peer, wildcards.task, int(wildcards.seconds))
    if "number" in wildcards.keys():
        return slices.peers_slice(CONFIG, *place, number=int(wildcards.number))
    return slices.peers_slice(CONFIG, *place, seed=int(wildcards.seed))


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
    found = {k: json.loads(slices.stage_slice(CONFIG, k)) for k in range(LAST + 1)}
    return json.dumps(found, sort_keys=True)


@workflow_hooks.in_one_line
def compared_scores(wildcards):
    """Score files of all compared runs, each once."""
    return list(dict.fromkeys(RUNS.score_file(run, k) for run, k in COMPARED))


@workflow_hooks.in_one_line
def ablations_slice(wildcards):
    """Which score file belongs to which variant, seed and stage."""
    return RUNS.comparison()
