# Configuration and the helper functions of all rules; no rule in here, and no torch.
import json
import os
import sys
from pathlib import Path

PROJECT = Path(workflow.basedir)
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from cogment_pipe import config as configuration
from cogment_pipe import corpora, slices, workflow_hooks
from cogment_pipe.derived_runs import MAIN, DerivedRuns
from cogment_pipe.report.assets import assets_digest
from cogment_pipe.data import task_kinds

CONFIG = workflow_hooks.open_run(PROJECT, config, main=workflow.is_main_process)
LAST = CONFIG.last_stage
RUNS = DerivedRuns(CONFIG)
source_hash = workflow_hooks.code_index().source_hash
TEXT_STAGES = configuration.TEXT_STAGES
TOKENIZER = ("tokenizer.json", "tokenizer.manifest.json")
TEXT_UP_TO_LAST = [k for k in TEXT_STAGES if k <= LAST]


wildcard_constraints:
    k="[0-4]",


def before_run(workflow):
    """Refuses what would lose or use damaged results; keeps what is about to be replaced."""
    # Snakemake's own record of the lock files it has just written; empty where it keeps none.
    locks = getattr(workflow.persistence, "_lockfile", {})
    workflow_hooks.before_run(PROJECT, CONFIG, workflow.dag, list(locks.values()))


def after_run(workflow):
    """Removes the snapshots of the stages that this call finished."""
    workflow_hooks.after_run(workflow.dag)


def run_of(wildcards):
    """The run that a file belongs to: below results/runs/{run}, or the main one."""
    return getattr(wildcards, "run", MAIN)


def config_of(wildcards):
    """The configuration of a file's run."""
    return RUNS.config(run_of(wildcards))


@workflow_hooks.in_one_line
def stage_slice(wildcards):
    """What the weights of stage k depend on."""
    return RUNS.stage_slice(run_of(wildcards), int(wildcards.k))


@workflow_hooks.in_one_line
def data_slice(wildcards):
    """What the arrays of stage k depend on."""
    return slices.data_slice(config_of(wildcards), int(wildcards.k))


@workflow_hooks.in_one_line
def corpus_slice(wildcards):
    """What the split text of stage k depends on."""
    return slices.corpus_slice(config_of(wildcards), int(wildcards.k))


@workflow_hooks.in_one_line
def tokenizer_slice(wildcards):
    """What the tokenizer depends on, besides the training splits."""
    return slices.tokenizer_slice(config_of(wildcards))


@workflow_hooks.in_one_line
def evaluation_slice(wildcards):
    """What the scores of a checkpoint depend on."""
    return slices.evaluation_slice(config_of(wildcards))


@workflow_hooks.in_one_line
def torch_threads(wildcards):
    """Threads of training, as the slice has them."""
    return config_of(wildcards).threads


@workflow_hooks.in_one_line
def evaluation_threads(wildcards):
    """Threads of an evaluation, as the slice has them."""
    config = config_of(wildcards)
    return config.evaluation.threads or config.threads


def prepare_source(wildcards):
    """Hash of the code that makes the arrays of stage k: the modules of its own tasks only."""
    modules = task_kinds.prepare_modules(json.loads(data_slice(wildcards)))
    return source_hash("cogment_pipe.data.prepare", *modules)


def split_source(wildcards):
    """Hash of the code that splits the text of stage k."""
    modules = task_kinds.split_modules(json.loads(corpus_slice(wildcards)))
    return source_hash("cogment_pipe.data.corpus", *modules)


@workflow_hooks.in_one_line
def corpus_files(wildcards):
    """Local files of the corpora that stage k reads; a missing corpus stops the run in onstart."""
    return [
        path
        for source in config_of(wildcards).stage_corpora(int(wildcards.k)).values()
        if source is not None
        for path in corpora.files(source, PROJECT, Path.cwd())
    ]


def data_of(wildcards):
    """Folder of the run's own data, below which the rules of data.smk write."""
    return f"{RUNS.folder(run_of(wildcards))}/data"


def split_text(wildcards):
    """Manifest of the split text, for the stages that have text."""
    k = int(wildcards.k)
    has = k in TEXT_STAGES
    return f"{data_of(wildcards)}/corpus/stage{k}/manifest.json" if has else []


def grid_files(wildcards):
    """Corpus files that the arrays are made from directly; text comes through its split."""
    return [] if int(wildcards.k) in TEXT_STAGES else corpus_files(wildcards)


def tokenizer_file(wildcards):
    """The tokenizer and its seal, for the stages that have text."""
    names = TOKENIZER if int(wildcards.k) in TEXT_STAGES else ()
    return [f"{data_of(wildcards)}/{name}" for name in names]


def text_options(wildcards):
    """The command's options for stages that have text."""
    k, data = int(wildcards.k), data_of(wildcards)
    return (
        f"--corpus {data}/corpus/stage{k} --tokenizer {data}/tokenizer.json"
        if k in TEXT_STAGES
        else ""
    )


@workflow_hooks.in_one_line
def training_folders(wildcards):
    """Data folders that stage k trains on: its own, and those of the stages that it replays."""
    k = int(wildcards.k)
    replays = config_of(wildcards).stages[k].replay > 0
    folder = RUNS.data_folder(run_of(wildcards))
    return [f"{folder}/stage{j}" for j in (range(k + 1) if replays else [k])]


def training_data(wildcards):
    """Manifests of `training_folders`; each names the sha256 of its arrays."""
    return [f"{folder}/manifest.json" for folder in training_folders(wildcards)]


@workflow_hooks.in_one_line
def tested_folders(wildcards):
    """Data folders that checkpoint k is tested on: all; beside the main run its own stage alone,
    but for the last one."""
    run, k = run_of(wildcards), int(wildcards.k)
    stages = range(LAST + 1) if run == MAIN or k == LAST else [k]
    return [f"{RUNS.data_folder(run)}/stage{j}" for j in stages]


def tested_data(wildcards):
    """Manifests of `tested_folders`."""
    return [f"{folder}/manifest.json" for folder in tested_folders(wildcards)]


@workflow_hooks.in_one_line
def tested_tokenizer(wildcards):
    """The tokenizer and its seal, beside the data, where the evaluator looks for them."""
    names = TOKENIZER if LAST >= min(TEXT_STAGES) else ()
    return [f"{RUNS.data_folder(run_of(wildcards))}/{name}" for name in names]


@workflow_hooks.in_one_line
def first_weights(wildcards):
    """The checkpoint that stage k starts from: the stage before it, or `init_from`."""
    k = int(wildcards.k)
    if k:
        return f"{RUNS.stage_folder(run_of(wildcards), k - 1)}/checkpoint.pt"
    if CONFIG.init_from is None:
        return []
    return os.path.relpath(PROJECT / CONFIG.init_from)


def events_folder(wildcards):
    """Where TensorBoard's files of a stage go, or `off`."""
    wanted = CONFIG.runtime.tensorboard
    return f"logs/tensorboard/stage{wildcards.k}" if wanted else "off"


def init_option(wildcards, input):
    """`--init FILE`, or nothing for fresh weights."""
    return ["--init", str(input.init)] if input.init else []
