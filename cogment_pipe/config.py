"""The configuration of a run: models, layers, scales. Torch-free: parsing the Snakefile imports it.

`slices.py` has the part of it that each rule depends on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from cogment_pipe.ablation_config import AblationsConfig
from cogment_pipe.benchmark_config import (
    BenchmarksConfig,
)
from cogment_pipe.config_errors import one_line, unknown_key
from cogment_pipe.config_layers import assignments, merge, nested, normal, read_yaml
from cogment_pipe.corpora import CORPORA, CorpusSource, default_sources
from cogment_pipe.errors import CogmentError
from cogment_pipe.evaluation_config import EvaluationConfig
from cogment_pipe.stage_config import GrokFastConfig, ModelConfig, MultiOptimizerConfig, StageConfig
from cogment_pipe.task_config import Count, Strict

STAGES = (0, 1, 2, 3, 4)
SCALES = ("tiny", "small", "full")
TEXT_STAGES = (3, 4)


class StageRuntime(Strict):
    """What the training job of one stage asks of a scheduler; null: what `runtime` says."""

    memory_mb: Count | None = Field(None, description="memory asked of a scheduler, in MB")
    minutes: Count | None = Field(None, description="wall time asked of a scheduler")
    devices: Count = Field(1, description="GPUs (without one: processes) that train together")


class RuntimeConfig(Strict):
    """How a run is carried out; nothing here may change a result, and nothing here retrains."""

    snapshot_every: Count = Field(500, description="steps between two mid-stage snapshots")
    log_every: Count = Field(20, description="steps between two progress lines")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where training and evaluation run; auto: cuda where it is visible"
    )
    tensorboard: bool = Field(False, description="TensorBoard events under logs/tensorboard/")
    memory_mb: Count = Field(4000, description="memory asked of a scheduler for a training job")
    minutes: Count = Field(1440, description="wall time asked of a scheduler for a training job")
    retries: int = Field(1, ge=0, description="how often one call runs a killed job again")
    stages: dict[int, StageRuntime] = Field({}, description="for the training of single stages")

    def of(self, k: int) -> StageRuntime:
        """What the training job of stage k asks for."""
        own = self.stages.get(k, StageRuntime())
        return StageRuntime(
            memory_mb=own.memory_mb or self.memory_mb,
            minutes=own.minutes or self.minutes,
            devices=own.devices,
        )


class ReportConfig(Strict):
    """What the report page shows; editing it makes the page again, nothing else."""

    title: str = Field("Cogment: a run of the curriculum", description="heading of the page")
    examples: int = Field(4, ge=0, description="examples drawn for each task")


class ReportSlice(Strict):
    """All that the report page depends on, besides artifacts and code."""

    scale: str = ""
    seed: int = 0
    report: ReportConfig = ReportConfig()
    stages: list[Annotated[int, Field(ge=0, le=4)]] = list(STAGES)
    slices: dict[int, str] = Field({}, description="sha256 of each stage's slice as it is now")
    config_diff: dict[str, tuple[Any, Any]] = Field({}, description="key: shipped, this run's")


class PipelineConfig(Strict):
    """Every number of a run, after all layers are merged and the scale is resolved."""

    scale: Literal["tiny", "small", "full"] = Field(
        description="size of the run; auto in config.yaml: full with a CUDA device, else small"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(description="root of every random draw")
    stop_after: int | None = Field(None, ge=0, le=4, description="last stage to train")
    init_from: str | None = Field(None, description="checkpoint that stage 0 starts from")
    on_unmet: Literal["continue", "fail"] = Field(
        "continue", description="what a stage does that ends without having met its criteria"
    )
    on_environment_change: Literal["stop", "continue", "restart"] = Field(
        "stop", description="snapshot of another torch build, device, dtype or thread count"
    )
    auto_unlock: bool = Field(
        True, description="release Snakemake's lock where every possible holder is proved dead"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 on CUDA that has it, else fp32"
    )
    threads: Count = Field(2, description="torch threads; part of what fixes the bits")
    deterministic: bool = Field(True, description="deterministic kernels only")
    model: ModelConfig = Field(description="sizes of the model")
    optimizer: MultiOptimizerConfig = Field(description="rates and decays by component")
    grokfast: GrokFastConfig = Field(description="gradient filter; `nominal` and `off` for short")
    stages: dict[int, StageConfig] = Field(description="the curriculum, 0 to 4")
    corpora_root: str | None = Field(
        None, description="folder with one sub-folder per corpus, seen from the project"
    )
    corpora: dict[str, CorpusSource | None] = Field(
        {}, description="corpora by name: a path or a source; wins over corpora_root"
    )
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="scoring of checkpoints")
    benchmarks: BenchmarksConfig = Field(
        BenchmarksConfig(), description="measurements beside the curriculum"
    )
    ablations: AblationsConfig = Field(
        AblationsConfig(), description="variants to compare with this configuration"
    )
    runtime: RuntimeConfig = Field(RuntimeConfig(), description="what may not change a result")
    report: ReportConfig = Field(ReportConfig(), description="what the report page shows")
    _scale_was_auto: bool = PrivateAttr(False)
    # The same scale as config.yaml has it, where another layer changes something.
    _plain: PipelineConfig | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> PipelineConfig:
        for k, stage in self.stages.items():
            for name, task in stage.corpora.items():
                if task.corpus not in self.corpora:
                    where = f"stages.{k}.corpora.{name}.corpus"
                    raise ValueError(unknown_key(where, task.corpus, self.corpora))
        return self

    @property
    def scale_was_auto(self) -> bool:
        """Whether nobody chose the scale."""
        return self._scale_was_auto

    @property
    def gpus(self) -> int:
        """GPUs that a training job asks for; a login node plans `full` without having one."""
        device = self.runtime.device
        return int(
            device == "cuda" or (device == "auto" and (self.scale == "full" or cuda_visible()))
        )

    @property
    def last_stage(self) -> int:
        """The last stage that this configuration trains."""
        return STAGES[-1] if self.stop_after is None else self.stop_after

    def resolved(self, k: int) -> StageConfig:
        """Stage k with `source` decided, and with those corpora tasks only that are used."""
        stage = self.stages[k]
        configured = {n: t for n, t in stage.corpora.items() if self.corpora.get(t.corpus)}
        if stage.source == "corpora":
            return stage.model_copy(update={"corpora": stage.corpora})
        if stage.source == "auto" and configured:
            return stage.model_copy(update={"source": "corpora", "corpora": configured})
        return stage.model_copy(update={"source": "builtin", "corpora": {}})

    def stage_corpora(self, k: int) -> dict[str, CorpusSource | None]:
        """The corpora that stage k reads; None where one is asked for and not configured."""
        named = {t.corpus: self.corpora.get(t.corpus) for t in self.resolved(k).corpora.values()}
        # LongBench holds questions of HotpotQA's dev set: stage 3 reads it to leave those out.
        if "hotpotqa" in named and self.corpora.get("longbench"):
            named["longbench"] = self.corpora["longbench"]
        return named


def cuda_visible() -> bool:
    """Whether an NVIDIA device is to be seen, without importing torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in {"", "-1", "NoDevFiles"}:
        return False
    gpus = Path("/proc/driver/nvidia/gpus")
    return Path("/dev/nvidia0").exists() or (gpus.is_dir() and any(gpus.iterdir()))


def load_config(
    project: Path,
    working: Path | None = None,
    user: dict[str, Any] | None = None,
    kept_scale: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> PipelineConfig:
    """Merges the layers and validates the result.

    config.yaml < its scale overlay < WORKING/config.yaml < `user` (what --configfile and --config
    gave) < `set`. A layer that has `scales` itself is a whole configuration (a copied and edited
    config.yaml) and goes below the scale overlay. `kept_scale` is what `auto` means where results
    exist already. Raises CogmentError, one line, for anything unknown or impossible.
    """
    base = shipped = normal(read_yaml(project / "config.yaml"))
    above: list[dict[Any, Any]] = []
    local = (working or project) / "config.yaml"
    if local.is_file() and not local.samefile(project / "config.yaml"):
        say(f"config: {local.name} of the working directory overlays the project's")
        above.append(normal(read_yaml(local)))
    user = normal(user or {})
    sets = assignments(user.pop("set", []))
    above += [user, *(normal(nested(path, value)) for path, value in sets)]
    for layer in [layer for layer in above if "scales" in layer]:
        base = merge(base, layer)
        above.remove(layer)
    scales = base.get("scales", {})
    base = {key: value for key, value in base.items() if key != "scales"}
    wanted = next((x["scale"] for x in reversed(above) if "scale" in x), base.get("scale", "auto"))
    scale = _scale(wanted, kept_scale, say)
    plain = {key: value for key, value in shipped.items() if key != "scales"}
    plain = merge(plain, (shipped.get("scales") or {}).get(scale) or {})
    merged = merge(base, scales.get(scale) or {})
    for layer in above:
        merged = merge(merged, layer)
    config = _validated({**merged, "scale": scale}, project)
    config._scale_was_auto = wanted == "auto"
    if merged != plain:
        config._plain = _validated({**plain, "scale": scale}, project)
    return config


def _scale(wanted: Any, kept: str | None, say: Callable[[str], None]) -> str:
    if wanted in SCALES:
        return wanted
    if wanted != "auto":
        raise CogmentError(
            f"config: scale: {wanted!r} is not allowed; allowed: auto, tiny, small, full"
        )
    if kept:
        return kept
    scale = "full" if cuda_visible() else "small"
    found = "a CUDA device is visible" if scale == "full" else "no CUDA device is visible"
    say(f"config: scale auto means {scale} here ({found}); choose with --config scale=...")
    return scale


def _validated(merged: dict[str, Any], project: Path) -> PipelineConfig:
    stages = merged.get("stages")
    for key in stages if isinstance(stages, dict) else ():
        if key not in STAGES:
            raise CogmentError("config: " + unknown_key(f"stages.{key}", key, STAGES))
    corpora = merged.get("corpora") or {}
    if not isinstance(corpora, dict):
        raise CogmentError(f"config: corpora: {corpora!r} is not allowed; must be a mapping")
    for name, source in corpora.items():
        own = isinstance(source, dict) and source.get("kind")
        if name not in CORPORA and not own:
            raise CogmentError("config: " + unknown_key(f"corpora.{name}", name, CORPORA))
    root = merged.get("corpora_root")
    merged["corpora"] = {**default_sources(root, project), **_given(corpora)}
    try:
        return PipelineConfig.model_validate(merged)
    except ValidationError as error:
        raise CogmentError(one_line(error, PipelineConfig)) from None


def _given(corpora: dict[str, Any]) -> dict[str, Any]:
    """Sources as mappings; an empty entry leaves what `corpora_root` has."""
    return {
        name: {"path": source} if isinstance(source, str) else source
        for name, source in corpora.items()
        if source is not None
    }
