"""One stage from its inputs to its published artifacts: load, resume, train, publish.

Working state lives in the snapshot folder, which no rule declares; the declared folder is filled
only at the end, from the final snapshot, which stays until the outputs verify. So a finished stage
is re-emitted, never retrained, and a killed one goes on at its last snapshot to the same bits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from cogment_pipe import checkpoint
from cogment_pipe.atomic import sha256_file, sha256_text, write_json
from cogment_pipe.closure import module_hashes
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.detect import find_grokking
from cogment_pipe.determinism import (
    capture_rng,
    environment,
    restore_rng,
    seed_global,
    set_determinism,
)
from cogment_pipe.errors import CogmentError
from cogment_pipe.metrics import MetricLog, ProgressLine
from cogment_pipe.model.model import Cogment
from cogment_pipe.provenance import MANIFEST, versions, write_manifest
from cogment_pipe.rng import key
from cogment_pipe.signals import StopFlag, die_with_parent
from cogment_pipe.snapshots import SnapshotStore
from cogment_pipe.stage_config import StageSlice
from cogment_pipe.stage_trainer import StageData, StageTrainer, load_weights, read_scalars

log = logging.getLogger(__name__)

INTERRUPTED = 75
OUTPUTS = ("checkpoint.pt", "model.safetensors", "config.json", "metrics.jsonl", "summary.json")


@dataclass
class StageRun:
    """Paths and options of one run; nothing here may change a trained bit but `slice`."""

    stage: int
    slice: StageSlice
    slice_text: str
    source: str
    data: list[Path]
    init: Path | None
    out: Path
    snapshots: Path
    snapshot_every: int
    log_every: int
    device: torch.device
    precision: str
    on_environment_change: str


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
) -> int:
    """Train one stage, or go on with it, or re-emit it; returns the exit code (0, or 75 stopped).

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
    )
    inputs = input_hashes(run)
    fingerprint = {"slice": sha256_text(text), "source": source, "inputs": inputs}
    where = environment(target, run.precision, deterministic=parsed.deterministic)
    store = SnapshotStore(
        run.snapshots, fingerprint, where, on_environment_change=on_environment_change
    )
    with StopFlag() as stop:
        die_with_parent()
        if not store.acquire(wait=True, stop=lambda: stop.requested):
            return INTERRUPTED
        try:
            return _train(run, store, stop, inputs, where)
        finally:
            store.release()


def pick_device(name: str) -> torch.device:
    """The device asked for; `auto` is CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CogmentError(f"device {name}: no CUDA device is visible; use --device cpu or auto")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """The precision asked for; `auto` is bf16 on CUDA from sm80 on, else fp32."""
    if name != "auto":
        return name
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16" if capable else "fp32"


def input_hashes(run: StageRun) -> dict[str, str]:
    """sha256 of all that the stage reads, by a name that does not depend on where it lies."""
    found = {}
    for folder in run.data:
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise CogmentError(f"{manifest} is missing; make it with `data prepare`")
        found[f"data/{folder.name}"] = sha256_file(manifest)
    if run.init is not None:
        if not run.init.is_file():
            raise CogmentError(f"checkpoint {run.init} does not exist; train its stage first")
        found["init"] = sha256_file(run.init)
        verify_parent(run.init, found["init"])
    return found


def verify_parent(path: Path, digest: str) -> None:
    """Stop where a checkpoint is not the one that its stage's manifest describes."""
    manifest = path.parent / MANIFEST
    if not manifest.is_file():
        return
    expected = json.loads(manifest.read_text(encoding="utf-8"))["outputs"].get(path.name)
    if expected is not None and expected != digest:
        raise CogmentError(
            f"checkpoint {path} is damaged: sha256 {digest[:12]}, its manifest says "
            f"{expected[:12]}; put it back from results/.previous/ or train its stage again"
        )


def _train(run: StageRun, store: SnapshotStore, stop: StopFlag, inputs: dict, where: dict) -> int:
    snapshot = store.latest()
    if snapshot is not None and snapshot.finished:
        log.warning("RE-EMIT stage %d: finished at step %d", run.stage, snapshot.step)
        publish(run, snapshot.tensors, snapshot.meta, inputs, where, store.bit_identical)
        return 0
    trainer = build_trainer(run)
    metrics = MetricLog(run.snapshots / "metrics.jsonl")
    if snapshot is not None:
        log.warning("RESUME stage %d at step %d", run.stage, snapshot.step)
        trainer.load_state_dict(checkpoint.unflatten("run", snapshot.tensors, snapshot.meta))
        restore_rng(checkpoint.unflatten("rng", snapshot.tensors, snapshot.meta))
        metrics.truncate(snapshot.meta["metrics_bytes"])
    else:
        metrics.truncate(0)
    verdict = _loop(run, trainer, store, metrics, stop)
    if verdict is None:
        return INTERRUPTED
    tensors, meta = run_state(trainer, metrics)
    meta["verdict"], meta["reason"] = verdict
    if verdict[0] != "converged" and trainer.stage.min_accuracy > 0:
        log.warning("stage %d ends unmet: %s (%s)", run.stage, *verdict)
    if verdict[0] == "plateau_unmet" and run.slice.on_unmet == "fail":
        raise CogmentError(f"stage {run.stage} did not meet its criteria: {verdict[1]}")
    store.save(trainer.step_count, tensors, meta, finished=True)
    publish(run, tensors, meta, inputs, where, store.bit_identical)
    return 0


def _loop(
    run: StageRun,
    trainer: StageTrainer,
    store: SnapshotStore,
    metrics: MetricLog,
    stop: StopFlag,
) -> tuple[str, str] | None:
    """Steps until the stage is over (its verdict) or somebody asks to stop (None)."""
    progress = ProgressLine(run.stage, trainer.stage.max_steps, trainer.step_count)
    pending: list[dict] = []
    while True:
        verdict = trainer.verdict()
        if verdict is not None and trainer.step_count:
            return verdict
        seed_global(key(run.slice.seed, run.stage, trainer.step_count, 0, "global"))
        pending.append(trainer.train_step())
        step = trainer.step_count
        stopping = stop.requested  # read once: a stop that comes later waits for the next step
        if step % run.log_every == 0 or trainer.due() or stopping:
            pending = _flush(pending, trainer, metrics, progress)
        if trainer.due():
            record = trainer.validate()
            metrics.append([record])
            progress.validation(record)
            if record["best"]:
                tensors, meta = best_state(trainer)
                store.save_best(step, float(record["accuracy"]), tensors, meta)
        if stopping or step % run.snapshot_every == 0:
            pending = _flush(pending, trainer, metrics, progress)
            store.save(step, *run_state(trainer, metrics))
        if stopping:
            log.warning("stopped on request: snapshot at step %d; run it again to go on", step)
            return None


def _flush(
    pending: list[dict], trainer: StageTrainer, metrics: MetricLog, progress: ProgressLine
) -> list[dict]:
    """Read the metrics of the last steps from the device and write them."""
    if pending:
        records = [read_scalars(record) for record in pending]
        trainer.note_training(records)
        metrics.append(records)
        progress.training(records)
    return []


def build_trainer(run: StageRun) -> StageTrainer:
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
    )


def items(stage: int, folder: Path, split: str) -> StageData:
    """The tasks of a stage that have items in a split (a corpus may be for testing only)."""
    tasks = {name: task for name, task in load_stage(folder, split).items() if len(task)}
    if not tasks:
        raise CogmentError(f"{folder}: no task has {split} items; give stage {stage} more data")
    return StageData(stage, tasks)


def stage_of(folder: Path) -> int:
    """The stage whose data a folder holds, by its manifest."""
    return int(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["stage"])


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


# -- publish -----------------------------------------------------------------------------------


def publish(
    run: StageRun, tensors: dict, meta: dict, inputs: dict, where: dict, bit_identical: bool
) -> None:
    """Fill the stage's folder from its final state; the manifest comes last."""
    out = run.out
    out.mkdir(parents=True, exist_ok=True)
    lineage = {"stage": run.stage, "inputs": inputs, "slice": json.loads(run.slice_text)}
    average = pick(tensors, "run/average/average/")
    stored = {f"model/{n}": t for n, t in pick(tensors, "run/model/").items()}
    stored |= {f"average/{n}": t for n, t in average.items()}
    stored |= {f"optimizer/{n}": t for n, t in pick(tensors, "run/optimizer/").items()}
    rest = {name: value for name, value in meta.items() if name.startswith("run/optimizer/")}
    rest |= {"step": meta["run/step"], "lineage": lineage, "verdict": meta["verdict"]}
    checkpoint.save(out / "checkpoint.pt", stored, rest)
    checkpoint.export_weights(out / "model.safetensors", average, {"stage": run.stage})
    write_json(out / "config.json", json.loads(run.slice_text))
    MetricLog(run.snapshots / "metrics.jsonl").publish(out / "metrics.jsonl", meta["metrics_bytes"])
    write_json(out / "summary.json", summary(run, tensors, meta))
    write_manifest(
        out,
        {
            "stage": run.stage,
            "slice": json.loads(run.slice_text),
            "source": run.source,
            "modules": module_hashes("cogment_pipe.trainer"),
            "inputs": {name: digest for name, digest in inputs.items() if name != "init"},
            "parent": inputs.get("init"),
            "versions": versions(),
            "environment": where,
            "device": where["device"],
            "precision": where["precision"],
            "threads": where["threads"],
            "bit_identical": bit_identical,
        },
        OUTPUTS,
    )


def pick(tensors: dict, prefix: str) -> dict:
    """Entries under a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def summary(run: StageRun, tensors: dict, meta: dict) -> dict:
    """What summary.json says of the stage: how it ended and with what."""
    detector = checkpoint.unflatten("run/detector", {}, meta)
    counts: dict[str, int] = {"core": 0, "memory": 0, "heads": 0}
    for name, tensor in pick(tensors, "run/model/").items():
        part = name.split(".")[0]
        counts[part if part in counts else "heads"] += tensor.numel()
    counts["total"] = sum(counts.values())
    grokked = find_grokking(detector["curve"])
    return {
        "stage": run.stage,
        "name": run.slice.stage.name,
        "steps": meta["run/step"],
        "verdict": meta["verdict"],
        "reason": meta["reason"],
        "best": {"step": detector["best_step"], "accuracy": detector["best_accuracy"]},
        "final": detector["last"],
        "nonfinite_steps": meta["run/optimizer/nonfinite"],
        "warnings": list(_warnings(run, meta)),
        "parameters": counts,
        "grokking": None if grokked is None else {"step": grokked},
    }


def _warnings(run: StageRun, meta: dict) -> Iterable[str]:
    if meta["verdict"] == "plateau_unmet":
        yield f"plateau without the criteria: {meta['reason']}"
    final = meta.get("run/detector/last/accuracy")
    if meta["verdict"] == "budget" and final is not None and final < run.slice.stage.min_accuracy:
        yield f"budget spent at accuracy {final:.3f}, below {run.slice.stage.min_accuracy}"
    if meta["run/optimizer/nonfinite"]:
        yield f"{meta['run/optimizer/nonfinite']} non-finite steps were skipped"
