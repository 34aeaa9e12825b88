"""One stage from its inputs to its final state: load, resume, train; `publish` does the rest.

Working state lives in the snapshot folder, which no rule declares; the declared folder is filled
only at the end, from the final snapshot, which stays until the outputs verify. So a finished stage
is re-emitted, never retrained, and a killed one goes on at its last snapshot to the same bits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cogment_pipe import checkpoint
from cogment_pipe.atomic import canonical_json, sha256_text
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.determinism import (
    capture_rng,
    environment,
    restore_rng,
    seed_global,
    set_determinism,
)
from cogment_pipe.distributed import ALONE, PeerLostError, World, open_world
from cogment_pipe.errors import CogmentError
from cogment_pipe.events import EventLog
from cogment_pipe.metrics import MetricLog, ProgressLine
from cogment_pipe.model.model import Cogment
from cogment_pipe.publish import publish
from cogment_pipe.rng import key
from cogment_pipe.signals import EXIT_RETRY, StopFlag, die_with_parent
from cogment_pipe.snapshots import SnapshotStore
from cogment_pipe.stage_config import StageSlice
from cogment_pipe.stage_run import (
    StageRun,
    input_hashes,
    pick_device,
    pick_precision,
    stage_of,
)
from cogment_pipe.stage_trainer import StageData, StageTrainer, load_weights, read_scalars

log = logging.getLogger(__name__)

ELSEWHERE = ("threads", "precision", "deterministic")
"""Keys of the slice that do not make it another training, only one with other bits: they belong to
a snapshot's environment, where the user is asked what to do."""


def train_stage(
    *,
    stage: int,
    slice: dict | str,
    source: str,
    data: list[Path],
    init: Path | None,
    out: Path,
    snapshots: Path,
    snapshot_every: int = 200,
    device: str = "auto",
    log_every: int = 20,
    on_environment_change: str = "stop",
    around_step: Callable[[int], AbstractContextManager] = nullcontext,
    events: Path | None = None,
) -> int:
    """Train one stage, or go on with it, or re-emit it; returns the exit code (0, or 75 stopped).

    `around_step(n)` is entered while step n (from 0) is computed: for timing training alone.
    `events`: folder for TensorBoard's files, outside of results; None writes none.
    Raises CogmentError where inputs are missing, damaged or do not fit each other.
    """
    content = json.loads(slice) if isinstance(slice, str) else slice
    parsed = StageSlice.model_validate(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    set_determinism(parsed.threads, parsed.deterministic)
    target = pick_device(device)
    run = StageRun(
        stage,
        parsed,
        text,
        source,
        [Path(d) for d in data],
        None if init is None else Path(init),
        Path(out),
        Path(snapshots),
        snapshot_every,
        log_every,
        target,
        pick_precision(parsed.precision, target),
        on_environment_change,
        around_step,
        events,
    )
    inputs = input_hashes(run)
    training = {key: value for key, value in content.items() if key not in ELSEWHERE}
    fingerprint = {"slice": sha256_text(canonical_json(training)), "source": source}
    fingerprint["inputs"] = inputs
    where = environment(target, run.precision, deterministic=parsed.deterministic)
    with StopFlag() as stop:
        die_with_parent()
        try:
            with open_world(target) as world:
                if world.size > 1:
                    where["devices"] = world.size
                store = SnapshotStore(
                    run.snapshots, fingerprint, where, on_environment_change=on_environment_change
                )
                return _locked(run, store, stop, inputs, where, world)
        except PeerLostError:
            return EXIT_RETRY  # whoever started the processes says which one ended, and how


def _locked(
    run: StageRun, store: SnapshotStore, stop: StopFlag, inputs: dict, where: dict, world: World
) -> int:
    """Train under the lock on the snapshots, which process 0 holds for all."""
    held = world.main and store.acquire(wait=True, stop=lambda: stop.requested)
    try:
        if not world.told(held):
            return EXIT_RETRY
        return _train(run, store, stop, inputs, where, world)
    finally:
        if held:
            store.release()


def _train(
    run: StageRun, store: SnapshotStore, stop: StopFlag, inputs: dict, where: dict, world: World
) -> int:
    snapshot = world.told(store.latest() if world.main else None)
    if snapshot is not None and snapshot.finished:
        if world.main:
            log.warning("RE-EMIT stage %d: finished at step %d", run.stage, snapshot.step)
            publish(run, snapshot.tensors, snapshot.meta, inputs, where, store.bit_identical)
        return 0
    trainer = build_trainer(run, world)
    metrics = MetricLog(run.snapshots / "metrics.jsonl" if world.main else None)
    if snapshot is not None:
        log.warning("RESUME stage %d at step %d", run.stage, snapshot.step)
        trainer.load_state_dict(checkpoint.unflatten("run", snapshot.tensors, snapshot.meta))
        restore_rng(checkpoint.unflatten("rng", snapshot.tensors, snapshot.meta))
        metrics.truncate(snapshot.meta["metrics_bytes"])
    else:
        metrics.truncate(0)
    sinks = Sinks(
        metrics,
        ProgressLine(run.stage, trainer.stage.max_steps, trainer.step_count),
        EventLog(run.events if world.main else None, trainer.step_count),
    )
    try:
        verdict = _loop(run, trainer, store, sinks, stop)
    finally:
        sinks.events.close()
    if verdict is None:
        return EXIT_RETRY
    tensors, meta = run_state(trainer, metrics)
    meta["verdict"], meta["reason"] = verdict
    if verdict[0] != "converged" and trainer.stage.min_accuracy > 0:
        log.warning("stage %d ends unmet: %s (%s)", run.stage, *verdict)
    if verdict[0] == "plateau_unmet" and run.slice.on_unmet == "fail":
        raise CogmentError(f"stage {run.stage} did not meet its criteria: {verdict[1]}")
    if world.main:
        store.save(trainer.step_count, tensors, meta, finished=True)
        publish(run, tensors, meta, inputs, where, store.bit_identical)
    return 0


@dataclass
class Sinks:
    """Where the numbers of a run go while it runs."""

    metrics: MetricLog
    progress: ProgressLine
    events: EventLog

    def training(self, records: list[dict]) -> None:
        """Take the records of some steps."""
        self.metrics.append(records)
        self.progress.training(records)
        self.events.write(records)

    def validation(self, record: dict) -> None:
        """Take the record of a look at held-out items."""
        self.metrics.append([record])
        self.progress.validation(record)
        self.events.write([record])


def _loop(
    run: StageRun, trainer: StageTrainer, store: SnapshotStore, sinks: Sinks, stop: StopFlag
) -> tuple[str, str] | None:
    """Steps until the stage is over (its verdict) or somebody asks to stop (None)."""
    world = trainer.world
    pending: list[dict] = []
    while True:
        verdict = trainer.verdict()
        if verdict is not None and trainer.step_count:
            return verdict
        with run.around_step(trainer.step_count):
            seed_global(key(run.slice.seed, run.stage, trainer.step_count, 0, "global"))
            pending.append(trainer.train_step())
        step = trainer.step_count
        # read once: a stop that comes later waits for the next step
        stopping = world.any(stop.requested)
        if step % run.log_every == 0 or trainer.due() or stopping:
            pending = _flush(pending, trainer, sinks)
        if trainer.due():
            record = trainer.validate()
            sinks.validation(record)
            if record["best"] and world.main:
                tensors, meta = best_state(trainer)
                store.save_best(step, float(record["accuracy"]), tensors, meta)
        if stopping or step % run.snapshot_every == 0:
            pending = _flush(pending, trainer, sinks)
            state = run_state(trainer, sinks.metrics)
            if world.main:
                store.save(step, *state)
        if stopping:
            log.warning("stopped on request: snapshot at step %d; run it again to go on", step)
            return None


def _flush(pending: list[dict], trainer: StageTrainer, sinks: Sinks) -> list[dict]:
    """Read the metrics of the last steps from the device and write them."""
    if pending:
        records = [read_scalars(record) for record in pending]
        trainer.note_training(records)
        sinks.training(records)
    return []


def build_trainer(run: StageRun, world: World = ALONE) -> StageTrainer:
    """Model, data and optimizers of a run at its first step."""
    seed_global(key(run.slice.seed, 0, 0, 0, "model"))
    model = Cogment(run.slice.model).to(run.device)
    if run.init is not None:
        tensors, _ = checkpoint.load(run.init)
        raw = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
        try:
            load_weights(model, raw)
        except ValueError as error:
            raise CogmentError(f"checkpoint {run.init}: {error}") from error
    folders = {stage_of(folder): folder for folder in run.data}
    wanted = sorted(folders) if run.slice.stage.replay else [run.stage]
    train = [items(j, folders[j], "train") for j in wanted if j <= run.stage]
    validation = items(run.stage, folders[run.stage], "validation")
    return StageTrainer(
        model,
        run.slice,
        run.stage,
        train,
        validation,
        device=run.device,
        precision=run.precision,
        world=world,
    )


def items(stage: int, folder: Path, split: str) -> StageData:
    """The tasks of a stage that have items in a split (a corpus may be for testing only)."""
    tasks = {name: task for name, task in load_stage(folder, split).items() if len(task)}
    if not tasks:
        raise CogmentError(f"{folder}: no task has {split} items; give stage {stage} more data")
    return StageData(stage, tasks)


def run_state(trainer: StageTrainer, metrics: MetricLog) -> tuple[dict, dict]:
    """Tensors and JSON-able rest of a snapshot."""
    tensors, meta = checkpoint.flatten("run", trainer.state_dict())
    # redundant, since every draw is keyed; kept so that a library that draws globally is covered
    rng_tensors, rng_meta = checkpoint.flatten("rng", capture_rng())
    tensors, meta = tensors | rng_tensors, meta | rng_meta
    meta["metrics_bytes"] = metrics.size
    return tensors, meta


def best_state(trainer: StageTrainer) -> tuple[dict, dict]:
    """What is kept of the best validation point: the averaged weights."""
    return {f"average/{n}": t for n, t in trainer.average.weights().items()}, {
        "step": trainer.step_count
    }
