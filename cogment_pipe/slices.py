"""The slice of the configuration that each rule depends on. Torch-free.

A slice is canonical JSON that holds exactly what one rule's outputs depend on; it travels in the
rule's `params`, so a key outside a slice never makes that rule run again.
"""

from __future__ import annotations

from typing import Any, TypeVar

from cogment_pipe.atomic import canonical_json as canonical
from cogment_pipe.atomic import sha256_text
from cogment_pipe.benchmark_config import FilterSlice, GenerationSlice, GrokkingSlice
from cogment_pipe.config import PipelineConfig, ReportSlice
from cogment_pipe.evaluation_config import EvaluationSlice
from cogment_pipe.peer_config import PeerSlice
from cogment_pipe.stage_config import HomeConfig, StageSlice

NOT_IN_REPORT = {"runtime", "report", "auto_unlock", "on_environment_change", "corpora"}
NOT_IN_REPORT |= {"corpora_root", "init_from", "benchmarks", "ablations"}
TEXT_STAGE = 3  # the first stage that generates text
Slice = TypeVar("Slice", StageSlice, EvaluationSlice, GenerationSlice)
# What the data of a stage depends on; learning rates and the like must stay out of this.
DATA_KEYS = {
    *("name", "sequence_length", "segment_length", "context", "tasks", "corpora", "source"),
    *("augmentation_rate", "augmentation_types", "augmentations_per_task"),
}
# Splitting a corpus feeds the tokenizer and so stage 3: a knob of stage 4's arrays must stay out.
CORPUS_KEYS = {"name", "tasks", "corpora", "source"}
DATA_WITHOUT = {key: {"__all__": {"refinement_steps"}} for key in ("tasks", "corpora")}
CORPUS_WITHOUT = {
    key: {"__all__": {"batch_size", "weight", "refinement_steps"}} for key in ("tasks", "corpora")
}


def stage_slice(config: PipelineConfig, k: int) -> str:
    """What the weights of stage k depend on, besides data, code and the previous checkpoint."""
    earlier = range(k) if config.stages[k].replay else ()
    homes = {j: HomeConfig.of(config.resolved(j)) for j in earlier}
    part = _shared(config, StageSlice, stage=config.resolved(k), homes=homes)
    return canonical(part.model_dump(mode="json"))


def data_slice(config: PipelineConfig, k: int) -> str:
    """What the arrays of stage k depend on; corpus paths as the user spelled them."""
    part = _data_part(config, k, include=DATA_KEYS, exclude=DATA_WITHOUT)
    return canonical({**part, "vocab_size": config.model.vocab_size})


def corpus_slice(config: PipelineConfig, k: int) -> str:
    """What the split text of stage k depends on, before any tokenizer."""
    return canonical(_data_part(config, k, include=CORPUS_KEYS, exclude=CORPUS_WITHOUT))


def tokenizer_slice(config: PipelineConfig) -> str:
    """What the tokenizer depends on, besides the training splits."""
    return canonical({"seed": config.seed, "vocab_size": config.model.vocab_size})


def evaluation_slice(config: PipelineConfig) -> str:
    """What the scores of any checkpoint depend on, besides checkpoint, data and code."""
    homes = {j: HomeConfig.of(config.resolved(j)) for j in range(config.last_stage + 1)}
    return canonical(_shared(config, EvaluationSlice, homes=homes).model_dump(mode="json"))


def report_slice(config: PipelineConfig) -> str:
    """What the report page depends on, besides the artifacts that it reads."""
    stages = list(range(config.last_stage + 1))
    part = config.model_dump(mode="json", include={"seed", "scale", "report"})
    slices = {k: sha256_text(stage_slice(config, k)) for k in stages}
    found = ReportSlice(**part, stages=stages, slices=slices, config_diff=config_diff(config))
    return canonical(found.model_dump(mode="json"))


def config_diff(config: PipelineConfig) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (value in config.yaml, value of this run), for all that may change a result.

    Knobs of the run are left out, and so are paths: the manifests name every file that was read.
    """
    if config._plain is None:
        return {}
    before, after = (_flat(one.model_dump(mode="json")) for one in (config._plain, config))
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key.partition(".")[0] not in NOT_IN_REPORT
    }


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by dotted key."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    parts = [_flat(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}


def grokking_slice(config: PipelineConfig, suite: str, arm: str) -> str:
    """What the runs of an arm of the grokking benchmark depend on, besides seed and code."""
    benchmark = config.benchmarks.grokking
    part = GrokkingSlice(task=benchmark.task, arm=benchmark.arm(suite, arm))
    return canonical(part.model_dump(mode="json"))


def grokking_table_slice(config: PipelineConfig) -> str:
    """What the table of the grokking benchmark depends on, besides its runs."""
    return canonical(config.benchmarks.grokking.model_dump(mode="json", include={"references"}))


def generation_slice(config: PipelineConfig) -> str:
    """What the generation benchmark depends on, besides the code: it answers as stage 3 does."""
    own = {
        "generation": config.benchmarks.generation,
        "home": HomeConfig.of(config.resolved(TEXT_STAGE)),
    }
    return canonical(_shared(config, GenerationSlice, **own).model_dump(mode="json"))


def filter_slice(config: PipelineConfig) -> str:
    """What the benchmark of the gradient filter depends on, besides the code; on one thread."""
    part = FilterSlice(filter=config.benchmarks.filter, seed=config.seed)
    return canonical(part.model_dump(mode="json"))


def puzzles_slice(config: PipelineConfig, task: str) -> str:
    """What the file of one puzzle task depends on, besides the code."""
    puzzles = config.benchmarks.puzzles
    counts = {"seed": config.seed, "train": puzzles.train, "test": puzzles.test}
    given = puzzles.tasks[task].model_dump(mode="json", include={"generator", "params"})
    return canonical({**counts, **given, "task": task})


def puzzles_table_slice(config: PipelineConfig) -> str:
    """What the table of the puzzle benchmark depends on, besides its runs."""
    tasks = config.benchmarks.puzzles.tasks
    return canonical(
        {name: task.model_dump(mode="json")["budgets"] for name, task in tasks.items()}
    )


def peers_slice(
    config: PipelineConfig, peer: str, task: str, seconds: int, *, number: int = -1, seed: int = -1
) -> str:
    """What a run of a peer depends on: try `number` on the first seed, or the tested run of `seed`.

    A tested run takes the best of all settings, so it depends on all.
    """
    puzzles, peers = config.benchmarks.puzzles, config.benchmarks.peers
    told = puzzles.tasks[task]
    part = PeerSlice(
        peer=peers.classes[peer],
        settings=peers.search if number < 0 else [peers.search[number]],
        seconds=seconds,
        seed=puzzles.seeds[0] if seed < 0 else seed,
        threads=puzzles.threads or config.threads,
        augment=told.augment,
        views=told.views,
    )
    return canonical(part.model_dump(mode="json"))


def whole_run_slice(config: PipelineConfig) -> str:
    """Which run is timed; its configuration is the shipped one."""
    return canonical({"scale": config.scale, "seed": config.seed, "cores": config.threads})


def _shared(config: PipelineConfig, kind: type[Slice], **own: Any) -> Slice:
    """A slice of `kind`: its own values, and those that it shares with the configuration."""
    names = kind.model_fields.keys() - own.keys()
    return kind(**own, **{name: getattr(config, name) for name in names})


def _data_part(config: PipelineConfig, k: int, **keys: Any) -> dict[str, Any]:
    corpora = {n: s.as_slice() for n, s in config.stage_corpora(k).items() if s is not None}
    stage = config.resolved(k).model_dump(mode="json", **keys)
    return {"seed": config.seed, "scale": config.scale, "stage": stage, "corpora": corpora}
