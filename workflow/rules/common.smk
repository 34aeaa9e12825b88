# Configuration and the helper functions of all rules; no rule in here, and no torch.
import json
import os
import sys
from pathlib import Path

PROJECT = Path(workflow.basedir)
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from cogment_pipe import config as configuration
from cogment_pipe import corpora, workflow_hooks
from cogment_pipe.report.assets import assets_digest
from cogment_pipe.data import task_kinds

CONFIG = workflow_hooks.open_run(PROJECT, config, main=workflow.is_main_process)
LAST = CONFIG.last_stage
source_hash = workflow_hooks.code_index().source_hash
TEXT_STAGES = configuration.TEXT_STAGES
TOKENIZER = ["results/data/tokenizer.json", "results/data/tokenizer.manifest.json"]
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


def stage_slice(wildcards):
    """What the weights of stage k depend on."""
    return configuration.stage_slice(CONFIG, int(wildcards.k))


def data_slice(wildcards):
    """What the arrays of stage k depend on."""
    return configuration.data_slice(CONFIG, int(wildcards.k))


def corpus_slice(wildcards):
    """What the split text of stage k depends on."""
    return configuration.corpus_slice(CONFIG, int(wildcards.k))


def prepare_source(wildcards):
    """Hash of the code that makes the arrays of stage k: the modules of its own tasks only."""
    modules = task_kinds.prepare_modules(json.loads(data_slice(wildcards)))
    return source_hash("cogment_pipe.data.prepare", *modules)


def split_source(wildcards):
    """Hash of the code that splits the text of stage k."""
    modules = task_kinds.split_modules(json.loads(corpus_slice(wildcards)))
    return source_hash("cogment_pipe.data.corpus", *modules)


def corpus_files(wildcards):
    """Local files of the corpora that stage k reads; a missing corpus stops the run in onstart."""
    return [
        path
        for source in CONFIG.stage_corpora(int(wildcards.k)).values()
        if source is not None
        for path in corpora.files(source, PROJECT, Path.cwd())
    ]


def split_text(wildcards):
    """Manifest of the split text, for the stages that have text."""
    k = int(wildcards.k)
    return f"results/data/corpus/stage{k}/manifest.json" if k in TEXT_STAGES else []


def grid_files(wildcards):
    """Corpus files that the arrays are made from directly; text comes through its split."""
    return [] if int(wildcards.k) in TEXT_STAGES else corpus_files(wildcards)


def tokenizer_file(wildcards):
    """The tokenizer and its seal, for the stages that have text."""
    return TOKENIZER if int(wildcards.k) in TEXT_STAGES else []


def text_options(wildcards):
    """The command's options for stages that have text."""
    k = int(wildcards.k)
    folder = f"results/data/corpus/stage{k}"
    return (
        f"--corpus {folder} --tokenizer results/data/tokenizer.json"
        if k in TEXT_STAGES
        else ""
    )


def replayed(k):
    """Stages whose data a training run of stage k reads."""
    return range(k + 1) if CONFIG.stages[k].replay > 0 else [k]


def training_data(wildcards):
    """Data manifests that stage k trains on; each names the sha256 of its arrays."""
    return [f"results/data/stage{j}/manifest.json" for j in replayed(int(wildcards.k))]


def training_folders(wildcards):
    """The folders of `training_data`."""
    return [f"results/data/stage{j}" for j in replayed(int(wildcards.k))]


def first_weights(wildcards):
    """The checkpoint that stage k starts from: the stage before it, or `init_from`."""
    k = int(wildcards.k)
    if k:
        return f"results/stage{k - 1}/checkpoint.pt"
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
