"""Training from Python: the pipeline's engine, without its files.

`CogmentTrainer` walks the curriculum with the same `StageTrainer` that the rules run, so equal
configurations, data and seeds give the same weights to the bit. Nothing is written to disk; what a
run needs to go on is in `state_dict()`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cogment_pipe.determinism import capture_rng, restore_rng, seed_global, set_determinism
from cogment_pipe.ema import WeightAverage
from cogment_pipe.errors import CogmentError
from cogment_pipe.model.model import Cogment
from cogment_pipe.rng import key
from cogment_pipe.stage_config import HomeConfig, StageSlice
from cogment_pipe.stage_loaders import Loader, StageLoader
from cogment_pipe.stage_run import pick_device, pick_precision
from cogment_pipe.stage_trainer import StageTrainer, load_weights, read_scalars
from cogment_pipe.training_config import StageResult, TrainingConfig
from cogment_pipe.training_state import copied, difference

log = logging.getLogger(__name__)


class CogmentTrainer:
    """Trains a model through the stages of the curriculum, or in one of them.

    Args:
        model: the model, trained in place; None makes one from the seed, as the pipeline does.
        config: see `TrainingConfig`.
        device: `auto`, `cpu`, `cuda`, or a torch.device.

    Raises:
        ValueError: the model has other sizes than `config.model_config`.
        CogmentError: the device is not there.
    """

    def __init__(
        self,
        model: Cogment | None,
        config: TrainingConfig,
        device: torch.device | str = "auto",
    ) -> None:
        threads = config.threads or torch.get_num_threads()
        set_determinism(threads, config.deterministic)
        self.config, self.device = config, pick_device(str(device))
        self.precision = pick_precision(config.precision, self.device)
        if model is None:
            model = _fresh_model(config)
        if model.config != config.model_config:
            raise ValueError("the model's config differs from TrainingConfig.model_config")
        self.model = model.to(self.device)
        self._threads = threads
        self._stages = config.stage_configs()
        self._trainer: StageTrainer | None = None
        self._saved: dict[str, Any] | None = None
        self._pending: list[dict[str, Any]] = []
        self.history: list[StageResult] = []
        self._enter(config.start_stage)

    @property
    def stage(self) -> int:
        """Number of the stage that is trained now, or was trained last."""
        return self.history[-1].stage

    @property
    def average(self) -> WeightAverage:
        """Averaged weights of the present stage, the ones that validation judges.

        `with trainer.average.swapped(trainer.model): ...` puts them into the model for a while.
        ValueError before the stage's first call of `train`.
        """
        if self._trainer is None:
            raise ValueError("the weight average exists once train() has begun the stage")
        return self._trainer.average

    def train(
        self,
        train_loader: Loader,
        eval_loader: Loader | None = None,
        *,
        max_steps: int | None = None,
        on_record: Callable[[dict[str, Any]], None] | None = None,
        log_every: int = 20,
    ) -> list[StageResult]:
        """Train, or go on training, until the last stage ends.

        Args:
            train_loader: {stage: {task name: TaskData}}, one stage's {task name: TaskData}, the
                folder `results/data`, or a stage's folder in it. One stage's data trains that
                stage alone.
            eval_loader: the same for held-out items; None with a folder: its validation split.
            max_steps: return after so many optimizer steps of this call, at any place; the next
                call goes on to the same bits.
            on_record: gets each line that the pipeline would write to metrics.jsonl.
            log_every: steps between two reads of the training records from the device.

        Returns:
            One `StageResult` per stage so far (`self.history`); the model holds the raw weights.

        Raises:
            ValueError: a loader of no known form, or data of another stage.
            CogmentError: a stage without data; gradients that stay non-finite; an unmet stage
                under `on_unmet="fail"`.
        """
        if eval_loader is None and not isinstance(train_loader, str | Path):
            raise ValueError("eval_loader is needed where train_loader is no folder")
        train = StageLoader(train_loader, "train", self.stage)
        held_out = StageLoader(
            train_loader if eval_loader is None else eval_loader, "validation", self.stage
        )
        self._check_data(train, held_out)
        rng, left = capture_rng(), max_steps
        try:
            while True:
                left = self._train_stage(train, held_out, left, on_record, log_every)
                last = train.single or self.stage == self._last
                if self.history[-1].verdict is None or last or not self.config.auto_advance_stages:
                    return self.history
                self.advance()
        finally:
            restore_rng(rng)

    def advance(self) -> int:
        """Go to the next stage with the present raw weights; returns its number.

        Moments, filter and weight average start afresh there. ValueError after the last stage.
        """
        if self.stage == self._last:
            raise ValueError(f"stage {self.stage} is the last one")
        result = self.history[-1]
        if result.verdict is None:
            result.verdict, result.reason = "left", f"advance() at step {result.steps}"
        self._enter(self.stage + 1)
        return self.stage

    def state_dict(self) -> dict[str, Any]:
        """All that a fresh trainer of the same configuration needs to go on to the same bits.

        Nested dicts of copied tensors (CPU) and plain values, so that `torch.save` and
        `torch.load(weights_only=True)` keep it.
        """
        run = self._saved
        if self._trainer is not None:
            run = self._trainer.state_dict()
        return {
            "slice": self._slice(self.stage).model_dump(mode="json"),
            "history": [asdict(result) for result in self.history],
            "model": copied(dict(self.model.named_parameters())),
            "run": None if run is None else copied(run),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`; the next `train` needs the same loaders as before.

        Raises:
            ValueError: the state is of another configuration or model; says which key differs.
        """
        history = [StageResult(**entry) for entry in state["history"]]
        differs = difference(state["slice"], self._slice(history[-1].stage).model_dump(mode="json"))
        if differs:
            raise ValueError(f"the state is of another configuration: {differs} differs")
        load_weights(self.model, state["model"])
        self.history, self._trainer, self._saved = history, None, state["run"]
        self._pending = []

    # -- one stage -----------------------------------------------------------------------------

    @property
    def _last(self) -> int:
        config = self.config
        return config.stop_after if config.use_curriculum else config.start_stage

    def _enter(self, stage: int) -> None:
        self._trainer = self._saved = None
        self._pending = []
        self.history.append(StageResult(stage, self._stages[stage].name))

    def _slice(self, stage: int) -> StageSlice:
        """What the pipeline calls the slice of a stage, built from this configuration."""
        config, own = self.config, self._stages[stage]
        earlier = range(stage) if own.replay else ()
        for number in earlier:
            if number not in self._stages:
                raise CogmentError(f"stage {stage} replays stage {number}: `stages` must have it")
        return StageSlice(
            seed=config.seed,
            scale=config.scale,
            model=config.model_config,
            optimizer=config.optimizer_config,
            grokfast=config.grokfast_config,
            stage=own,
            homes={number: HomeConfig.of(self._stages[number]) for number in earlier},
            precision=config.precision,
            threads=self._threads,
            deterministic=config.deterministic,
            on_unmet=config.on_unmet,
        )

    def _check_data(self, train: StageLoader, held_out: StageLoader) -> None:
        """Finds data that is missing before hours are spent on the stages that have it."""
        walks = self.config.auto_advance_stages and not train.single
        for stage in range(self.stage, (self._last if walks else self.stage) + 1):
            held_out.stage_data(stage)
            for number in self._sources(stage):
                train.stage_data(number)

    def _sources(self, stage: int) -> range:
        """Stages whose training data `stage` reads: its own, and with replay all before it."""
        return range(0 if self._stages[stage].replay else stage, stage + 1)

    def _start(self, train: StageLoader, held_out: StageLoader) -> StageTrainer:
        if self._trainer is None:
            self._trainer = StageTrainer(
                self.model,
                self._slice(self.stage),
                self.stage,
                [train.stage_data(number) for number in self._sources(self.stage)],
                held_out.stage_data(self.stage),
                device=self.device,
                precision=self.precision,
            )
            if self._saved is not None:
                self._trainer.load_state_dict(self._saved)
                self._saved = None
        return self._trainer

    def _train_stage(
        self,
        train: StageLoader,
        held_out: StageLoader,
        left: int | None,
        on_record: Callable[[dict[str, Any]], None] | None,
        log_every: int,
    ) -> int | None:
        """Steps of the present stage until its verdict, or until none is `left`; what is left."""
        result = self.history[-1]
        if result.verdict is not None:
            return left
        trainer = self._start(train, held_out)
        while True:
            verdict = trainer.verdict() if trainer.step_count else None
            if verdict is not None:
                self._finish(result, *verdict)
                return left
            if left == 0:
                _tell(self._read(), on_record)
                return left
            left = None if left is None else left - 1
            seed_global(key(self.config.seed, self.stage, trainer.step_count, 0, "global"))
            self._pending.append(trainer.train_step())
            result.steps = trainer.step_count
            if trainer.due() or trainer.step_count % log_every == 0:
                records = self._read()
                if trainer.due():
                    result.validation = trainer.validate()
                    records.append(result.validation)
                _tell(records, on_record)

    def _read(self) -> list[dict[str, Any]]:
        """The records of the last steps, read from the device, as the pipeline does."""
        records, self._pending = [read_scalars(record) for record in self._pending], []
        self._trainer.note_training(records)
        return records

    def _finish(self, result: StageResult, verdict: str, reason: str) -> None:
        if verdict == "plateau_unmet" and self.config.on_unmet == "fail":
            raise CogmentError(f"stage {result.stage} did not meet its criteria: {reason}")
        result.verdict, result.reason = verdict, reason
        log.info("stage %d ends: %s (%s)", result.stage, verdict, reason)


def _fresh_model(config: TrainingConfig) -> Cogment:
    """The pipeline's starting weights for this seed; the global generators stay as they are."""
    kept = capture_rng()
    seed_global(key(config.seed, 0, 0, 0, "model"))
    model = Cogment(config.model_config)
    restore_rng(kept)
    return model


def _tell(
    records: list[dict[str, Any]], on_record: Callable[[dict[str, Any]], None] | None
) -> None:
    for record in records if on_record is not None else ():
        on_record(record)
