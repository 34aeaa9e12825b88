"""What one curriculum stage depends on: pydantic models, torch-free.

Every value here reaches a training run through the stage's canonical slice (`config.stage_slice`)
and so may change its bits. Keys of the pipeline around it (report, runtime) live in `config.py`,
so that editing them retrains nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    """Refuses unknown keys and keeps its values fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Strict):
    """Sizes of Cogment; the defaults are the 21M configuration of `full`."""

    d_model: Count = Field(512, description="width of every state")
    n_heads: Count = Field(8, description="attention heads; d_model / n_heads is the head width")
    n_blocks: Count = Field(2, description="blocks of the one weight-tied stack")
    ffn_hidden: Count = Field(1536, description="hidden width of the core's SwiGLU")
    z_updates: Count = Field(2, description="updates of the scratch state z per refinement step")
    conv: bool = Field(True, description="3x3 depthwise convolution in each block, on grids only")
    vocab_size: Count = Field(16384, description="text vocabulary; fixed, never taken from data")
    grid_symbols: Count = Field(64, description="cell alphabet, 0 is padding")
    max_side: Count = Field(64, description="largest row index and column index of a grid")
    max_pairs: Count = Field(12, description="demonstration pairs that can be told apart")
    max_tasks: Count = Field(16, description="kinds of task that have an embedding of their own")
    head_hidden: Count = Field(1024, description="hidden width of the grid head's SwiGLU")
    adapter_rank: Count = Field(96, description="rank of each stage's adapters")
    memory_hidden: Count = Field(832, description="hidden width of the memory's read SwiGLU")
    mixer: Literal["attention", "token_mlp"] = Field(
        "attention", description="how positions of a grid exchange content"
    )
    mixer_cells: int = Field(0, ge=0, description="fixed number of cells; token_mlp only")

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 4:
            raise ValueError("d_model / n_heads must be a whole multiple of 4 (2-D RoPE)")
        if self.mixer == "token_mlp" and not self.mixer_cells:
            raise ValueError("mixer token_mlp needs mixer_cells (the fixed number of cells)")
        return self


class MultiOptimizerConfig(Strict):
    """AdamW for each component; rates hold at stage learning rate 3e-4 and scale with it."""

    core_lr: Positive = 3e-4
    memory_lr: Positive = 1e-4
    halting_lr: Positive = 5e-4
    other_lr: Positive = 2e-4
    core_weight_decay: NonNegative = 0.01
    memory_weight_decay: NonNegative = 0.001
    halting_weight_decay: NonNegative = 0.0
    other_weight_decay: NonNegative = 0.01
    core_betas: tuple[Rate, Rate] = (0.9, 0.95)
    memory_betas: tuple[Rate, Rate] = (0.9, 0.999)
    halting_betas: tuple[Rate, Rate] = (0.9, 0.95)
    other_betas: tuple[Rate, Rate] = (0.9, 0.95)
    clip_norm: Positive = 1.0
    max_nonfinite: Count = Field(5, description="non-finite steps in a row that stop the run")
    core_optimizer: Literal["adamw", "muon"] = "adamw"


class GrokFastConfig(Strict):
    """Gradient filter g + lambda * EMA(g) per component (arXiv 2405.20233); never on halting."""

    enabled: bool = True
    core_alpha: Rate = 0.98
    core_lamb: NonNegative = 2.0
    memory_alpha: Rate = 0.95
    memory_lamb: NonNegative = 1.5
    other_lamb: NonNegative = 0.0
    other_alpha: Rate = 0.98


class LossWeights(Strict):
    """Weights of the loss terms, each applied once; `losses` has the formula."""

    deep: NonNegative = 1.0
    improvement: NonNegative = 0.0
    consistency: NonNegative = 0.0
    ponder: NonNegative = 0.1
    exact: NonNegative = 0.05
    decay: Rate = 0.5
    emphasis: Literal["last", "first"] = "last"
    margin: NonNegative = 0.01


class MemoryWrites(Strict):
    """How a stage writes the long-term memory; alpha 0 means that it only reads."""

    alpha: Rate = 0.0
    decay: Rate = 0.0
    read: bool = Field(True, description="false: the stage works without the memory")
    gate: Literal["both", "content", "surprise"] = "both"
    truncate: int = Field(0, ge=0, description="detach it every this many segments; 0 never")
    consolidate_every: int = Field(0, ge=0, description="applied steps between two; 0 never")
    consolidate_rate: Rate = 0.05


class StageConfig(Strict):
    """One stage of the curriculum: what `FourStageCurriculum.get_stage_config` returns."""

    name: str
    max_steps: Count
    batch_size: Count
    sequence_length: Count
    learning_rate: Positive
    max_refinement_steps: Count
    act_threshold: Rate = 0.99
    warmup_steps: int = Field(50, ge=0)
    final_lr_ratio: Rate = Field(0.05, description="share of the rate left at the cosine's end")
    update: Literal["joint", "per_step"] = "per_step"
    detach: bool = Field(True, description="joint: cut the gradient between refinement steps")
    depth_ramp: Rate = Field(
        0.0, description="per_step: share of the stage over which a batch's steps grow from 1"
    )
    activation_checkpointing: bool = False
    accumulate: Count = Field(1, description="micro-batches per optimizer step")
    ponder_start: NonNegative = 0.005
    ponder_end: NonNegative = 0.02
    grokfast: bool = False
    grokfast_factor: NonNegative = Field(1.0, description="times lambda; .6 in stages 3 and 4")
    memory: MemoryWrites = MemoryWrites()
    loss: LossWeights = LossWeights()
    ema: Rate = Field(0.999, description="decay of the weight average that is evaluated")
    label_smoothing: Rate = 0.0
    augmentation_rate: Rate = 0.0
    augmentation_types: tuple[str, ...] = ()
    augmentations_per_task: Count = 300
    replay: Rate = Field(0.0, description="share of steps that train on earlier stages")
    segment_length: int = Field(0, ge=0, description="tokens per segment; 0: one segment")
    segment_steps: Count = Field(1, description="refinement steps of a segment before the last")
    patience: Count = 1000
    min_delta: NonNegative = 0.0
    min_accuracy: Rate = 0.0
    max_ponder_cost: Positive = 8.0
    eval_every: Count = 100
    eval_items: Count = Field(128, description="validation items of each task per look")
    source: Literal["auto", "builtin", "corpora"] = "auto"
    tasks: dict[str, TaskConfig] = Field(description="built-in tasks of the stage")
    corpora: dict[str, CorpusTask] = Field(default={}, description="the same, on real files")

    @property
    def task_steps(self) -> dict[str, int]:
        """Refinement steps of those tasks that do not take the stage's own number."""
        tasks = self.corpora if self.source == "corpora" else self.tasks
        return {n: t.refinement_steps for n, t in tasks.items() if t.refinement_steps}


class TaskConfig(Strict):
    """Items of one built-in task; `params` are checked by the generator's own model."""

    generator: str
    weight: Positive = Field(1.0, description="share of the stage's steps")
    batch_size: int | None = Field(None, ge=1, description="in place of the stage's")
    refinement_steps: int | None = Field(None, ge=1, description="in place of the stage's")
    train: Count = 1000
    validation: Count = 200
    test: Count = 500
    params: dict[str, bool | int | float | str | list[int] | list[str]] = {}


class CorpusTask(Strict):
    """Items of one task read from a corpus that `corpora:` names."""

    corpus: str
    weight: Positive = 1.0
    batch_size: int | None = Field(None, ge=1)
    refinement_steps: int | None = Field(None, ge=1)
    train: int | None = Field(None, ge=1, description="at most so many; none: all")
    validation: int | None = Field(None, ge=1)
    test: int | None = Field(None, ge=1)
    params: dict[str, bool | int | float | str | list[int] | list[str]] = {}


StageConfig.model_rebuild()


class HomeConfig(Strict):
    """How the items of a stage are refined, wherever they are met again: replay and evaluation."""

    max_refinement_steps: Count
    act_threshold: Rate
    batch_size: Count
    update: Literal["joint", "per_step"]
    detach: bool
    segment_steps: Count
    memory: MemoryWrites
    task_steps: dict[str, int] = Field({}, description="refinement steps of tasks that differ")

    @classmethod
    def of(cls, stage: StageConfig) -> HomeConfig:
        """The part of a stage's configuration that travels with its items."""
        same = {name: getattr(stage, name) for name in cls.model_fields if name != "task_steps"}
        return cls(**same, task_steps=stage.task_steps)

    def for_task(self, name: str) -> HomeConfig:
        """The same with the refinement steps of one task."""
        steps = self.task_steps.get(name, self.max_refinement_steps)
        return self.model_copy(update={"max_refinement_steps": steps})


class StageSlice(Strict):
    """All that the training of one stage depends on; its canonical JSON is a rule's `params`."""

    seed: int
    scale: str
    model: ModelConfig
    optimizer: MultiOptimizerConfig
    grokfast: GrokFastConfig
    stage: StageConfig
    homes: dict[int, HomeConfig] = Field({}, description="earlier stages, where replay needs them")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: Count = 2
    deterministic: bool = True
    on_unmet: Literal["continue", "fail"] = "continue"
