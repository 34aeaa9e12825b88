"""What one curriculum stage depends on: pydantic models, torch-free.

Every value here reaches a training run through the stage's canonical slice (`config.stage_slice`)
and so may change its bits. Keys of the pipeline around it (report, runtime) live in `config.py`,
so that editing them retrains nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from cogment_pipe.config_errors import one_line
from cogment_pipe.task_config import (
    AugmentationType,
    CorpusTask,
    Count,
    NonNegative,
    Positive,
    Rate,
    Strict,
    TaskConfig,
)


class ModelConfig(Strict):
    """Sizes of Cogment; the defaults are the 21M configuration of `full`."""

    d_model: Count = Field(512, description="width of every state")
    n_heads: Count = Field(8, description="attention heads; d_model / n_heads is the head width")
    n_blocks: Count = Field(2, description="blocks of the one weight-tied stack")
    ffn_hidden: Count = Field(1536, description="hidden width of the core's SwiGLU")
    z_updates: Count = Field(2, description="updates of the scratch state z per refinement step")
    conv: bool = Field(
        True, description="short depthwise convolution in each block, grids and text"
    )
    vocab_size: Count = Field(16384, description="text vocabulary; fixed, never taken from data")
    grid_symbols: Count = Field(64, description="cell alphabet, 0 is padding")
    max_side: Count = Field(64, description="largest row index and column index of a grid")
    max_pairs: Count = Field(12, description="demonstration pairs that can be told apart")
    max_tasks: Count = Field(16, description="kinds of task that have an embedding of their own")
    head_hidden: Count = Field(1024, description="hidden width of the grid head's SwiGLU")
    adapter_rank: Count = Field(96, description="rank of each stage's adapters")
    memory_hidden: Count = Field(832, description="hidden width of the memory's read SwiGLU")
    mixer: Literal["attention", "token_mlp", "convolution"] = Field(
        "attention", description="how positions of a grid exchange content"
    )
    mixer_cells: int = Field(0, ge=0, description="fixed number of cells; token_mlp only")

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 4:
            raise ValueError("d_model / n_heads must be a whole multiple of 4 (2-D RoPE)")
        if self.mixer == "token_mlp" and not self.mixer_cells:
            raise ValueError("mixer token_mlp needs mixer_cells (the fixed number of cells)")
        if self.mixer == "convolution" and not self.conv:
            raise ValueError("mixer convolution needs model.conv true: nothing else mixes cells")
        return self


class MultiOptimizerConfig(Strict):
    """An optimizer for each component; rates hold at stage learning rate 3e-4 and scale with it."""

    core_lr: Positive = Field(3e-4, description="rate of the core")
    memory_lr: Positive = Field(1e-4, description="rate of the memory")
    halting_lr: Positive = Field(5e-4, description="rate of the halting head")
    other_lr: Positive = Field(2e-4, description="rate of embeddings, adapters and heads")
    core_weight_decay: NonNegative = Field(
        0.01, description="decoupled weight decay of the core, matrices only"
    )
    memory_weight_decay: NonNegative = Field(0.001, description="the same for the memory")
    halting_weight_decay: NonNegative = Field(0.0, description="the same for the halting head")
    other_weight_decay: NonNegative = Field(0.01, description="the same for all else")
    core_betas: tuple[Rate, Rate] = Field(
        (0.9, 0.95), description="decay of the first and second moment, core"
    )
    memory_betas: tuple[Rate, Rate] = Field((0.9, 0.999), description="the same for the memory")
    halting_betas: tuple[Rate, Rate] = Field(
        (0.9, 0.95), description="the same for the halting head"
    )
    other_betas: tuple[Rate, Rate] = Field((0.9, 0.95), description="the same for all else")
    clip_norm: Positive = Field(
        1.0, description="largest global gradient norm, over all components"
    )
    max_nonfinite: Count = Field(5, description="non-finite steps in a row that stop the run")
    core_optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: orthogonalised momentum for the core's matrices"
    )
    memory_optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="the same for the memory's"
    )

    def changed(self, changes: dict[str, Any]) -> MultiOptimizerConfig:
        """These settings with some keys in place of others; pydantic's error for a wrong one."""
        return MultiOptimizerConfig.model_validate({**self.model_dump(), **changes})


class GrokFastConfig(Strict):
    """Gradient filter g + lambda * EMA(g) per component (arXiv 2405.20233); never on halting."""

    enabled: bool = Field(True, description="false: off in every stage")
    core_alpha: Rate = Field(0.98, description="decay of the gradient average, core")
    core_lamb: NonNegative = Field(2.0, description="weight of the average that is added, core")
    memory_alpha: Rate = Field(0.95, description="the same decay for the memory")
    memory_lamb: NonNegative = Field(1.5, description="the same weight for the memory")
    other_lamb: NonNegative = Field(
        0.0, description="the same weight for all else; halting never has a filter"
    )
    other_alpha: Rate = Field(0.98, description="the same decay for all else")


class LossWeights(Strict):
    """Weights of the loss terms, each applied once; `losses` has the formula."""

    deep: NonNegative = Field(1.0, description="(deep supervision + halting-mixed output) / 2")
    improvement: NonNegative = Field(0.0, description="residual improvement from step to step")
    consistency: NonNegative = Field(0.0, description="agreement with an augmented copy")
    ponder: NonNegative = Field(
        0.1, description="expected refinement steps, times the warmed-up ponder cost"
    )
    exact: NonNegative = Field(0.05, description='cross-entropy of "is the answer wholly right?"')
    decay: Rate = Field(0.5, description="how fast the weight of a refinement step falls")
    emphasis: Literal["last", "first"] = Field(
        "last", description="the step that weighs most in deep supervision"
    )
    margin: NonNegative = Field(
        0.01, description="improvement that is asked of each step, in probability"
    )


class MemoryWrites(Strict):
    """How a stage writes the long-term memory; alpha 0 means that it only reads."""

    alpha: Rate = Field(0.0, description="largest write strength; 0: read only")
    decay: Rate = Field(0.0, description="share that is forgotten per position written")
    read: bool = Field(True, description="false: the stage works without the memory")
    gate: Literal["both", "content", "surprise"] = Field(
        "both", description="what opens the write gate: content, surprise, or both"
    )
    truncate: int = Field(0, ge=0, description="detach it every this many segments; 0 never")
    consolidate_every: int = Field(0, ge=0, description="applied steps between two; 0 never")
    consolidate_rate: Rate = Field(
        0.05, description="share of the bank that one consolidation replaces"
    )


class StageConfig(Strict):
    """One stage of the curriculum: what `FourStageCurriculum.get_stage_config` returns."""

    name: str = Field(description="name of the stage in logs and report")
    max_steps: Count = Field(description="optimizer steps at most")
    batch_size: Count = Field(description="items per optimizer step")
    sequence_length: Count = Field(
        description="cells of a grid, or tokens of a text, that an item may have"
    )
    learning_rate: Positive = Field(
        description="the stage's rate; scales the components' rates together"
    )
    core_rate: Positive = Field(
        1.0, description="further factor on the core's rate in this stage; lower forgets less"
    )
    memory_rate: Positive = Field(
        1.0, description="further factor on the memory's rate in this stage"
    )
    optimizer: dict[str, Any] = Field(
        {}, description="keys of the section `optimizer` that are others in this stage"
    )
    max_refinement_steps: Count = Field(description="refinement steps at most")
    act_threshold: Rate = Field(
        0.99, description="sum of halting probabilities at which a row halts"
    )
    warmup_steps: int = Field(50, ge=0, description="steps of linear warm-up; a cosine follows")
    final_lr_ratio: Rate = Field(0.05, description="share of the rate left at the cosine's end")
    update: Literal["joint", "per_step"] = Field(
        "per_step",
        description="per_step: an optimizer step per refinement step; joint: one for all",
    )
    detach: bool = Field(True, description="joint: cut the gradient between refinement steps")
    depth_ramp: Rate = Field(
        0.0, description="per_step: share of the stage over which a batch's steps grow from 1"
    )
    activation_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time"
    )
    accumulate: Count = Field(
        1, description="micro-batches per optimizer step; their rows are alike in length"
    )
    lanes: Count = Field(
        1,
        description="micro-batches that a CPU computes side by side, each on its share of "
        "`threads`; at most `accumulate`",
    )
    length_buckets: Count = Field(
        1, description="rows of so many batches are sorted by length before they are cut"
    )
    ponder_start: NonNegative = Field(0.005, description="ponder cost at the stage's start")
    ponder_end: NonNegative = Field(0.02, description="ponder cost at its end")
    grokfast: bool = Field(
        False, description="filter the gradients in this stage, where grokfast.enabled too"
    )
    grokfast_factor: NonNegative = Field(1.0, description="times lambda; .6 in stages 3 and 4")
    memory: MemoryWrites = Field(MemoryWrites(), description="how the stage writes the memory")
    loss: LossWeights = Field(LossWeights(), description="weights of the loss terms")
    ema: Rate = Field(0.999, description="decay of the weight average that is evaluated")
    label_smoothing: Rate = Field(0.0, description="share of the target spread over all symbols")
    augmentation_rate: Rate = Field(0.0, description="share of training items that are augmented")
    augmentation_types: tuple[AugmentationType, ...] = Field(
        (), description="which augmentations, by name; those that fit the task are used"
    )
    augmentations_per_task: Count = Field(300, description="different augmentations of an ARC task")
    replay: Rate = Field(0.0, description="share of steps that train on earlier stages")
    segment_length: int = Field(0, ge=0, description="tokens per segment; 0: one segment")
    segment_steps: Count = Field(1, description="refinement steps of a segment before the last")
    context: Literal["auto", "memory"] = Field(
        "auto",
        description="text: auto: a context that fits one segment stands in the prompt; memory: "
        "every context is read in segments, through the memory",
    )
    patience: Count = Field(1000, description="steps without progress after which the stage ends")
    min_delta: NonNegative = Field(
        0.0, description="rise of accuracy, or fall of loss, that counts as progress"
    )
    min_accuracy: Rate = Field(0.0, description="validation accuracy asked for")
    max_ponder_cost: Positive = Field(
        8.0, description="refinement steps allowed on average at the end"
    )
    max_accuracy_range: NonNegative = Field(
        0.2,
        description="swing of validation accuracy over the last `patience` steps that is steady",
    )
    max_ponder_range: NonNegative = Field(
        1.0, description="the same of the refinement steps on average"
    )
    eval_every: Count = Field(100, description="steps between two looks at the validation split")
    eval_items: Count = Field(128, description="validation items of each task per look")
    source: Literal["auto", "builtin", "corpora"] = Field(
        "auto",
        description="auto: corpora where configured, else built-in tasks; corpora: never built-in",
    )
    tasks: dict[str, TaskConfig] = Field(description="built-in tasks of the stage")
    corpora: dict[str, CorpusTask] = Field(default={}, description="the same, on real files")

    @field_validator("optimizer")
    @classmethod
    def _check_optimizer(cls, changes: dict[str, Any]) -> dict[str, Any]:
        """As numbers, so that 3e-4, which YAML reads as text, is the same as 0.0003."""
        try:
            whole = MultiOptimizerConfig.model_validate(changes)
        except ValidationError as error:
            raise ValueError(one_line(error, MultiOptimizerConfig, "")) from None
        return whole.model_dump(mode="json", exclude_unset=True)

    @model_validator(mode="after")
    def _check(self) -> StageConfig:
        if self.lanes > self.accumulate:
            raise ValueError(
                f"lanes: {self.lanes} of {self.accumulate} micro-batches; raise accumulate to "
                f"{self.lanes} or lower lanes"
            )
        return self

    @property
    def task_steps(self) -> dict[str, int]:
        """Refinement steps of those tasks that do not take the stage's own number."""
        tasks = self.corpora if self.source == "corpora" else self.tasks
        return {n: t.refinement_steps for n, t in tasks.items() if t.refinement_steps}


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
