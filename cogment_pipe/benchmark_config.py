"""What the benchmarks beside the curriculum are configured by; torch-free.

Outside the code and the configuration that a stage depends on, so editing it trains no stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cogment_pipe.peer_config import PeersConfig
from cogment_pipe.stage_config import HomeConfig, ModelConfig, StageSlice
from cogment_pipe.task_config import Count, NonNegative, Positive, Rate, Strict

GROKKING, SMOKE = "grokking", "grokking_smoke"
"""Folders below results/benchmarks/ that the grokking benchmark makes."""
THROUGHPUT, THROUGHPUT_SMOKE = "throughput", "throughput_smoke"
"""The same of the benchmark of speed."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class GrokkingTask(Strict):
    """Task, network and measurement, the same for all arms; the defaults are the published ones."""

    modulus: int = Field(97, ge=3, description="p of x * y mod p; a prime")
    train_share: float = Field(0.5, gt=0, lt=1, description="share of all pairs trained on")
    width: Count = Field(128, description="width of the network")
    layers: Count = Field(2, description="blocks of the network")
    heads: Count = Field(4, description="attention heads")
    batch_size: Count = Field(512, description="pairs per optimizer step")
    warmup_steps: Count = Field(10, description="steps over which the rate rises from zero")
    threshold: Rate = Field(0.95, description="accuracy whose first crossing counts")
    hold: Count = Field(3, description="looks in a row above it that end a run")
    eval_every: Count = Field(20, description="steps between two looks")
    eval_items: Count = Field(1024, description="validation pairs per look")
    threads: Count = Field(1, description="torch threads of a run")

    @model_validator(mode="after")
    def _check(self) -> GrokkingTask:
        if self.width % self.heads:
            raise ValueError("width must be a whole multiple of heads")
        return self


class FilterConfig(Strict):
    """GrokFast's gradient filter over all parameters."""

    kind: Literal["ema", "ma"] = Field(
        "ema", description="exponential or windowed mean of gradients"
    )
    alpha: Rate = Field(0.98, description="decay of the exponential mean")
    lamb: Positive = Field(2.0, description="weight of the mean that is added")
    window: Count = Field(100, description="gradients in the windowed mean")


class GrokkingArm(Strict):
    """One way to train the network."""

    title: str = Field(description="what the arm is, as tables say it")
    optimizer: Literal["adam", "adamw", "muon", "ademamix"] = Field(
        "adam", description="adam has L2 decay inside, the others decoupled decay"
    )
    learning_rate: Positive = Field(1e-3, description="rate after the warm-up")
    betas: tuple[Rate, Rate] = Field(
        (0.9, 0.98), description="decay of the first and second moment"
    )
    weight_decay: NonNegative = Field(0.0, description="L2 or decoupled decay, by the optimizer")
    filter: FilterConfig | None = Field(None, description="gradient filter; null: none")
    loss: Literal["softmax", "stablemax"] = Field(
        "softmax", description="normalisation of the logits in the cross-entropy"
    )
    perpendicular: bool = Field(False, description="drop the part of a gradient along its weight")
    muon_rate: Positive = Field(0.02, description="muon: rate of the blocks' matrices")
    muon_decay: NonNegative = Field(0.1, description="muon: decay of the blocks' matrices")
    slow_beta: Rate = Field(0.98, description="ademamix: decay of the slow average")
    slow_weight: NonNegative = Field(2.0, description="ademamix: weight of the slow average")
    max_steps: Count = Field(2000, description="steps after which the arm counts as censored")


class References(Strict):
    """Arms that the others are compared with; each makes a column of the table."""

    paper_style: str = Field("A", description="the arm that the paper compares with")
    decay_matched: str = Field("C", description="the arm with the same weight decay")
    versus_adamw: str = Field("D", description="AdamW without a filter")


class GrokkingSmoke(Strict):
    """A part of the benchmark in about two minutes, for tests."""

    arms: tuple[str, ...] = Field(("A", "B"), description="arms of the short benchmark")
    seeds: tuple[Seed, ...] = Field((0,), description="its seeds")
    max_steps: Count = Field(1400, description="its cap of steps")


class GrokkingConfig(Strict):
    """The grokking benchmark."""

    seeds: tuple[Seed, ...] = Field((0, 1, 2), description="seeds of every arm")
    task: GrokkingTask = Field(GrokkingTask(), description="task, network and measurement")
    references: References = Field(
        References(), description="arms that the others are compared with"
    )
    smoke: GrokkingSmoke = Field(GrokkingSmoke(), description="a short part, for tests")
    only: tuple[str, ...] | None = Field(None, description="arms to run; none: all")
    arms: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], GrokkingArm] = Field(
        {}, description="ways to train, by name"
    )

    @model_validator(mode="after")
    def _check(self) -> GrokkingConfig:
        named = {*self.smoke.arms, *self.references.model_dump().values(), *(self.only or ())}
        for name in sorted(named - self.arms.keys() if self.arms else ()):
            where = "only, smoke or references"
            raise ValueError(f"arm {name!r} is named in {where}, and arms has no such")
        return self

    def runs(self, suite: str) -> list[tuple[str, int]]:
        """(arm, seed) of every run of a suite, `grokking` or `grokking_smoke`."""
        arms, seeds = tuple(self.arms) if self.only is None else self.only, self.seeds
        if suite == SMOKE:
            arms, seeds = self.smoke.arms, self.smoke.seeds
        return [(arm, seed) for arm in arms for seed in seeds]

    def arm(self, suite: str, name: str) -> GrokkingArm:
        """An arm with the cap of its suite."""
        arm = self.arms[name]
        if suite != SMOKE:
            return arm
        return arm.model_copy(update={"max_steps": min(arm.max_steps, self.smoke.max_steps)})


class GrokkingSlice(Strict):
    """All that one run depends on, besides its seed and the code."""

    task: GrokkingTask
    arm: GrokkingArm


Arm = Literal["plain", "checkpointing", "bf16", "compile"]
Scale = Literal["tiny", "small", "full"]
Stage = Annotated[int, Field(ge=0, le=4)]


class SweepPlan(Strict):
    """How the cost of a step grows with refinement steps and with segments."""

    scale: Scale = Field("full", description="scale whose step is varied")
    stage: Stage = Field(4, description="its stage")
    rows: Count = Field(1, description="rows of the step")
    refinement: tuple[Count, ...] = Field(
        (1, 2, 4, 6, 8), description="refinement steps in one optimizer step"
    )
    segments: tuple[Count, ...] = Field((1, 2, 3, 4), description="segments of a document")
    repeats: Count = Field(5, description="steps timed at each point")


class ThroughputPlan(Strict):
    """What the benchmark of speed times, and how often."""

    scales: tuple[Scale, ...] = Field(("small", "full"), description="scales whose steps are timed")
    stages: tuple[Stage, ...] = Field((0, 1, 2, 3, 4), description="their stages")
    arms: tuple[Arm, ...] = Field(
        ("plain", "checkpointing", "bf16"), description="ways to take a step, by turns"
    )
    compiled: tuple[Stage, ...] = Field(
        (2,), description="stages that are also timed with torch.compile, which takes minutes"
    )
    rows: dict[Scale, dict[Stage, Count]] = Field(
        {}, description="rows of a step in place of the stage's, by scale and stage"
    )
    repeats: Count = Field(5, description="steps timed of each arm")
    warmup: Count = Field(1, description="steps before them")
    threads: Count | None = Field(
        None, description="torch threads; null: the scale's, but no more than there are cores"
    )
    sweep: SweepPlan = Field(SweepPlan(), description="cost against refinement steps and segments")
    start_repeats: Count = Field(5, description="calls timed of each way to start")
    pipeline_repeats: Count = Field(5, description="runs at scale tiny, one job at a time")
    pipeline_stages: int = Field(5, ge=1, le=5, description="stages of these runs")


class ThroughputConfig(ThroughputPlan):
    """The benchmark of speed, and its short form for tests."""

    smoke: ThroughputPlan = Field(ThroughputPlan(), description="a short part, for tests")

    def plan(self, suite: str) -> ThroughputPlan:
        """What a suite times, `throughput` or `throughput_smoke`."""
        return self.smoke if suite == THROUGHPUT_SMOKE else self


class ThroughputSlice(Strict):
    """All that a cell or the sweep depends on, besides machine and code."""

    stage: Stage
    stage_slice: StageSlice
    text: bool
    context: int = Field(ge=0)
    rows: int | None = None
    arms: tuple[Arm, ...] = ("plain",)
    repeats: Count = 5
    warmup: Count = 1
    threads: int | None = None
    refinement: tuple[Count, ...] = ()
    segments: tuple[Count, ...] = ()


class GenerationConfig(Strict):
    """The benchmark of generation with and without its cache."""

    prompt_tokens: Count = Field(512, description="tokens of each prompt")
    new_tokens: Count = Field(32, description="tokens of each answer")
    rows: tuple[Count, ...] = Field((1, 8), min_length=1, description="prompts answered together")
    repeats: Count = Field(5, description="timed runs of each way; medians count")


class GenerationSlice(Strict):
    """All that the generation benchmark depends on, besides the code and the machine."""

    generation: GenerationConfig
    model: ModelConfig
    home: HomeConfig
    seed: Seed = 0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: Count = 2
    deterministic: bool = True


class FilterCostConfig(Strict):
    """The benchmark of the gradient filter's cost."""

    parameters: Count = Field(20_786_400, description="numbers in all gradients")
    tensors: Count = Field(100, description="tensors that they are cut into, all of one size")
    repeats: Count = Field(21, description="timed steps of each way; medians count")
    warmup: Count = Field(3, description="steps before them")


class FilterSlice(Strict):
    """All that the benchmark of the filter depends on, besides the code and the machine."""

    filter: FilterCostConfig
    seed: Seed = 0
    threads: Count = 1


class PuzzleTask(Strict):
    """Puzzles of one kind, and what `fit` is to solve of them."""

    generator: Literal["sudoku", "maze"] = Field(description="as in a stage's tasks")
    params: dict[str, Any] = Field({}, description="its parameters")
    augment: list[str] = Field([], description="symmetries that `fit` is told of")
    views: Count = Field(1, description="symmetric images that vote at the test")
    budgets: dict[Count, Rate] = Field(
        {}, description="seconds of training: share of whole grids to reach"
    )
    set: list[str] = Field([], description="further words of `fit --set`")


class PuzzlesConfig(Strict):
    """The benchmark of what `fit` solves after so many seconds."""

    seeds: list[Seed] = Field([0, 1, 2], min_length=1, description="runs of each")
    train: Count = Field(1000, description="training puzzles")
    test: Count = Field(500, description="unseen puzzles that are scored")
    threads: Count | None = Field(None, description="torch threads; null: those of the run")
    only: list[str] | None = Field(None, description="names of tasks; null takes all")
    tasks: dict[str, PuzzleTask] = Field({}, description="by name")

    @model_validator(mode="after")
    def _known(self) -> PuzzlesConfig:
        unknown = sorted(set(self.only or []) - set(self.tasks))
        if unknown:
            raise ValueError(f"only: {unknown[0]!r} is not one of {', '.join(self.tasks)}")
        return self

    def runs(self, tasks: Iterable[str] | None = None) -> list[str]:
        """Names of all runs, TASK-SECONDSs-seedN, or of those of `tasks` alone."""
        chosen = self.only if tasks is None else tasks
        return [
            f"{name}-{seconds}s-seed{seed}"
            for name, task in self.tasks.items()
            if chosen is None or name in chosen
            for seconds in task.budgets
            for seed in self.seeds
        ]

    def seconds(self) -> dict[str, list[int]]:
        """The budgets of every task."""
        return {name: list(task.budgets) for name, task in self.tasks.items()}


class BenchmarksConfig(Strict):
    """Benchmarks beside the curriculum."""

    throughput: ThroughputConfig = Field(
        ThroughputConfig(), description="how fast steps are, and how long the start takes"
    )

    grokking: GrokkingConfig = Field(
        GrokkingConfig(), description="delayed generalisation on modular arithmetic"
    )
    generation: GenerationConfig = Field(
        GenerationConfig(), description="what the cache of generation saves"
    )
    filter: FilterCostConfig = Field(
        FilterCostConfig(), description="what GrokFast's filter costs a step"
    )
    puzzles: PuzzlesConfig = Field(
        PuzzlesConfig(), description="what `fit` solves after so many seconds"
    )
    peers: PeersConfig = Field(PeersConfig(), description="the same puzzles solved by peers")

    @model_validator(mode="after")
    def _known(self) -> BenchmarksConfig:
        for task, peers in self.peers.tasks.items():
            if task not in self.puzzles.tasks:
                raise ValueError(f"peers.tasks: {task!r} is no task of puzzles")
            unknown = sorted(set(peers) - set(self.peers.classes))
            if unknown:
                raise ValueError(f"peers.tasks.{task}: {unknown[0]!r} is none of peers.classes")
        return self
