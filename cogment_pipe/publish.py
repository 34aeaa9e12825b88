"""A stage's artifacts from its final state: checkpoint, weights, summary; the manifest comes last.

Everything is made from tensors and JSON of the final snapshot, never from the live run: so a
finished stage that was lost is written again, to the same bits, without training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from cogment_pipe import checkpoint
from cogment_pipe.atomic import write_json
from cogment_pipe.closure import module_hashes
from cogment_pipe.detect import find_grokking
from cogment_pipe.metrics import MetricLog
from cogment_pipe.provenance import versions, write_manifest
from cogment_pipe.stage_run import StageRun

OUTPUTS = ("checkpoint.pt", "model.safetensors", "config.json", "metrics.jsonl", "summary.json")


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
