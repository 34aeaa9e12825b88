"""`fit`: one stage trained on one's own puzzles or questions, by the pipeline's own engine.

The folder that it fills is a stage's folder like any other (`load`, `predict`, `verify` read it);
beside the trainer's files it holds fit.json: what was asked, how many steps that came to, and the
test's figures. Work in progress lies in `.fit` and goes away at the end.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cogment_pipe import fit_score
from cogment_pipe.atomic import sha256_file, write_json
from cogment_pipe.closure import source_hash
from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.own_puzzles import (
    Puzzles,
    check_augmentation,
    labels,
    read_puzzles,
    write_puzzles,
)
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.tokenizer import train_tokenizer
from cogment_pipe.determinism import seed_global, set_determinism
from cogment_pipe.errors import CogmentError
from cogment_pipe.fit_recipe import (
    AUGMENTATIONS,
    GRID_STAGE,
    TEXT_STAGE,
    Wish,
    choose_mixer,
    grid_slice,
    holds_questions,
    text_slice,
)
from cogment_pipe.model.model import Cogment
from cogment_pipe.provenance import verify_manifest
from cogment_pipe.rng import key
from cogment_pipe.stage_config import StageSlice
from cogment_pipe.stage_run import pick_device, pick_precision
from cogment_pipe.stage_trainer import StageTrainer
from cogment_pipe.stopwatch import Stopwatch
from cogment_pipe.trainer import items, train_stage
from cogment_pipe.views import Symmetries

log = logging.getLogger(__name__)

RECORD, WORK = "fit.json", ".fit"
UNKNOWN_STEPS = 1_000_000  # schedule where the number does not matter yet
FIRST, LONGEST = 6, 10.0  # steps that warm up; most seconds of the run in miniature
SNAPSHOTS, FAR = 10, 500  # snapshots in a run, and most steps between two


@dataclass(frozen=True)
class FitOptions:
    """One call of `fit`; exactly one of `seconds` (of training alone) and `steps` is given."""

    data: Path
    out: Path
    seconds: float | None
    steps: int | None
    wish: Wish
    device: str = "auto"
    shape: tuple[int, int] | None = None
    views: int = 1


def fit(options: FitOptions) -> int:
    """Train, or go on, or only say again what a finished folder reached; 0, or 75 interrupted.

    Prints the test's figures as JSON. Raises CogmentError for data, words or a folder that does
    not fit.
    """
    wish, out = options.wish, options.out
    set_determinism(wish.threads, True)
    work = out / WORK
    text = holds_questions(options.data)
    number = TEXT_STAGE if text else GRID_STAGE
    record = open_record(out, asked(options))
    trained = bool(record.get("test")) and not verify_manifest(out)
    if trained and options.views in (1, _views(record)):
        return report(record)
    make, puzzles = _text_data(options, work) if text else _grid_data(options, work)
    record["symmetries"] = symmetries(options, puzzles)
    if not trained:
        code = _train(options, record, make, number)
        if code:
            return code
        record["puzzle"] = "questions" if text else puzzles.kind
        record["grid"] = None if text else list(puzzles.shape)
    if text:
        record["test"] = fit_score.questions(out, work, options.device)
    else:
        write_json(out / RECORD, record)  # the solver reads the symmetries
        test = puzzles.splits["test"]
        record["test"] = fit_score.grids(out, test, options.device, options.views)
    write_json(out / RECORD, record)
    shutil.rmtree(work)
    return report(record)


def _train(options: FitOptions, record: dict[str, Any], make: Any, number: int) -> int:
    """Train the stage and note in `record` what it took; the exit code."""
    out, work = options.out, options.out / WORK
    if "steps" not in record:
        record |= plan(options, make, number, work)
        write_json(out / RECORD, record)
    code = train(make(record["steps"]), number, options, work, record["steps"])
    if not code:
        record["train_seconds"] = round(Stopwatch(work / "seconds.json", 1).seconds, 3)
        if number == TEXT_STAGE:
            shutil.copyfile(work / "tokenizer.json", out / "tokenizer.json")
    return code


def symmetries(options: FitOptions, puzzles: Puzzles | None) -> dict[str, list] | None:
    """What fit.json says of them; CogmentError where there are not as many views as asked for."""
    augment = options.wish.augment if puzzles is not None else ()
    if not augment and options.views > 1:
        raise CogmentError("--views: needs grids whose symmetries --augment names; leave it out")
    if not augment:
        return None
    known = Symmetries(tuple(AUGMENTATIONS[name] for name in augment), tuple(labels(puzzles)))
    try:
        known.views(puzzles.shape, options.views, seed=0)  # as the test draws them
    except ValueError as error:
        raise CogmentError(f"--{error}") from None
    return {"types": list(known.types), "labels": list(known.labels)}


def _views(record: dict[str, Any]) -> int:
    """Views by which a finished run was tested."""
    return record["test"].get("voted", {}).get("views", 1)


def report(record: dict[str, Any]) -> int:
    """The figures of a finished run, on stdout."""
    told = {name: record[name] for name in ("steps", "train_seconds", "puzzle")}
    print(json.dumps(record["test"] | told, sort_keys=True))
    return 0


# -- the folder --------------------------------------------------------------------------------


def asked(options: FitOptions) -> dict[str, Any]:
    """What a folder's result depends on: another wish needs another folder."""
    files = [options.data]
    if options.data.is_dir():
        files = sorted(path for path in options.data.rglob("*") if path.is_file())
    elif not options.data.is_file():
        raise CogmentError(f"{options.data}: no such file or folder; name it by --data")
    return {
        "data": {path.name: sha256_file(path) for path in files},
        "seconds": options.seconds,
        "steps": options.steps,
        "device": options.device,
        "shape": None if options.shape is None else list(options.shape),
        **json.loads(json.dumps(asdict(options.wish))),
    }


def open_record(out: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """fit.json of the folder, or a new one; CogmentError where the folder is another's."""
    path = out / RECORD
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CogmentError(f"--out {out} is there already and no fit's; choose another folder")
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {"asked": wanted})
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kept = record["asked"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CogmentError(f"{path}: damaged; remove {out} or choose another --out") from None
    for name, value in wanted.items():
        if kept.get(name) != value:
            raise CogmentError(
                f"--out {out} holds a run with another {name} ({_short(kept.get(name))}, now "
                f"{_short(value)}); choose another folder, or remove it"
            )
    return record


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


# -- data --------------------------------------------------------------------------------------


def _grid_data(options: FitOptions, work: Path) -> tuple[Any, Any]:
    wish = options.wish
    puzzles = read_puzzles(options.data, options.shape, wish.seed)
    check_augmentation(puzzles, wish.augment)
    mixer, why = choose_mixer(puzzles, wish.mixer)
    sizes = ", ".join(f"{len(part)} {name}" for name, part in puzzles.splits.items())
    log.info("%s: %s, grids of %d x %d (%s)", options.data, sizes, *puzzles.shape, puzzles.kind)
    for reason, count in puzzles.dropped.items():
        log.info("dropped from %s: %d", reason, count)
    log.info("mixer %s: %s", mixer, why)
    stage = grid_slice(puzzles, wish, UNKNOWN_STEPS).stage
    write_puzzles(puzzles, stage.model_dump(mode="json"), work / f"stage{GRID_STAGE}")
    return lambda steps: grid_slice(puzzles, wish, steps), puzzles


def _text_data(options: FitOptions, work: Path) -> tuple[Any, None]:
    slice = text_slice(options.wish, UNKNOWN_STEPS)
    content = {
        "seed": slice.seed,
        "scale": slice.scale,
        "stage": slice.stage.model_dump(mode="json"),
        "vocab_size": slice.model.vocab_size,
        "corpora": {"own": {"path": str(options.data), "kind": "qa"}},
    }
    corpus, tokenizer = work / "corpus", work / "tokenizer.json"
    split_corpus(TEXT_STAGE, content, corpus)
    train_tokenizer(content, [corpus], tokenizer)
    prepare_stage(TEXT_STAGE, content, work / f"stage{TEXT_STAGE}", corpus, tokenizer)
    return lambda steps: text_slice(options.wish, steps), None


# -- training ----------------------------------------------------------------------------------


def plan(options: FitOptions, make: Any, number: int, work: Path) -> dict[str, Any]:
    """How many steps the budget is; with --seconds by timing some that are thrown away."""
    if options.steps is not None:
        return {"steps": options.steps}
    each = seconds_per_step(make, number, work / f"stage{number}", options)
    steps = max(1, round(options.seconds / each))
    log.info("%.1f steps/s: %g s are %d steps", 1 / each, options.seconds, steps)
    return {"steps": steps, "seconds_per_step": each}


def seconds_per_step(make: Any, number: int, data: Path, options: FitOptions) -> float:
    """Mean time of a training step: that of a run in miniature, which is thrown away.

    A step that begins a batch takes longer, and how many do depends on the depth ramp; the small
    run goes through the whole of it. It takes about a tenth of the budget, at most `LONGEST`.
    """
    begun = _time_run(make(UNKNOWN_STEPS), number, data, options.device, FIRST)
    span = min(LONGEST, options.seconds / 10)
    steps = max(FIRST, int(span / begun))
    return _time_run(make(steps), number, data, options.device, steps)


def _time_run(slice: StageSlice, number: int, data: Path, device: str, steps: int) -> float:
    """Seconds of a step, the mean over the first `steps` of a run of this slice."""
    chosen = pick_device(device)
    seed_global(key(slice.seed, 0, 0, 0, "model"))
    trainer = StageTrainer(
        Cogment(slice.model).to(chosen),
        slice,
        number,
        [items(number, data, "train")],
        items(number, data, "validation"),
        device=chosen,
        precision=pick_precision(slice.precision, chosen),
    )
    begun = time.perf_counter()
    for step in range(steps):
        seed_global(key(slice.seed, number, step, 0, "global"))  # as training does
        trainer.train_step()
    if chosen.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / steps


def train(slice: StageSlice, number: int, options: FitOptions, work: Path, steps: int) -> int:
    """The stage itself, from fresh weights or its last snapshot; returns the exit code."""
    every = min(FAR, max(1, -(-steps // SNAPSHOTS)))
    clock = Stopwatch(work / "seconds.json", every)
    try:
        return train_stage(
            stage=number,
            slice=slice.model_dump(mode="json"),
            source=source_hash("cogment_pipe.trainer"),
            data=[work / f"stage{number}"],
            init=None,
            out=options.out,
            snapshots=work / "snapshots",
            snapshot_every=every,
            device=options.device,
            log_every=max(1, steps // 20),
            around_step=clock,
        )
    finally:
        clock.save()
