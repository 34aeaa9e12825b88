"""Table of the grokking benchmark from its runs: steps, ratios, claims. Torch-free.

A run that never reached the threshold is censored: it counts as "at least" its number of steps, and
whatever is computed from it carries the same bound. No ratio of two censored runs is formed.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import sha256_file, write_bytes, write_json
from cogment_pipe.benchmark_config import GrokkingTask, References
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import write_manifest
from cogment_pipe.report.grokking import figure_svg, markdown

PUBLISHED = {
    "baseline": 39890,
    "moving_average": 790,
    "exponential_average": 910,
    "source": "Lee et al., arXiv 2405.20233, one seed; baseline without weight decay, arms with",
}
GROKFAST_CAP, BASELINE_BELOW = 2000, 0.5
GROKFAST_ARM, BASELINE = "B", "A"


def read_run(path: Path) -> dict[str, Any]:
    """A run file as {`run`, `looks`, `end`}; CogmentError where it is damaged or unfinished."""
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        by_kind = {kind: [r for r in records if r["event"] == kind] for kind in ("run", "end")}
        (head,), (end,) = by_kind["run"], by_kind["end"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CogmentError(f"{path}: no finished run of the benchmark ({error})") from error
    looks = [record for record in records if record["event"] == "look"]
    return {"run": head, "looks": looks, "end": end, "sha256": sha256_file(path)}


def write_summary(paths: list[Path], slice: dict, out: Path) -> dict[str, Any]:
    """Write table.json, table.md, curves.svg and a manifest into `out`; returns the table.

    Args:
        paths: files of finished runs.
        slice: `references`, the arms that the columns of ratios compare with.
    """
    table = summarise([read_run(path) for path in paths], References(**slice["references"]))
    write_json(out / "table.json", table)
    write_bytes(out / "table.md", (markdown(table) + "\n").encode())
    write_bytes(out / "curves.svg", figure_svg(table).encode())
    inputs = {path.name: sha256_file(path) for path in paths}
    content = {"slice": slice, "inputs": inputs}
    write_manifest(out, content, ["table.json", "table.md", "curves.svg"])
    return table


def summarise(runs: list[dict[str, Any]], references: References) -> dict[str, Any]:
    """The table as JSON: one row per arm, in the order of the runs.

    Raises CogmentError where arms differ in task or seeds, since then nothing is comparable.
    """
    if not runs:
        raise CogmentError("no runs of the benchmark were given")
    tasks = {json.dumps(run["run"]["slice"]["task"], sort_keys=True) for run in runs}
    if len(tasks) > 1:
        raise CogmentError("the runs differ in their task; make them again with one configuration")
    arms: dict[str, dict[int, dict[str, Any]]] = {}
    for run in runs:
        arms.setdefault(run["run"]["arm"], {})[run["run"]["seed"]] = run
    seeds = sorted(next(iter(arms.values())))
    for name, by_seed in arms.items():
        if sorted(by_seed) != seeds:
            raise CogmentError(f"arm {name} has seeds {sorted(by_seed)}, others {seeds}")
    steps = {a: [_steps(by_seed[s]["end"]) for s in seeds] for a, by_seed in arms.items()}
    return {
        "title": "Grokking benchmark",
        "note": _note(runs[0]["run"]["slice"]["task"]),
        "seeds": seeds,
        "published": PUBLISHED,
        "references": references.model_dump(),
        "rows": [_row(a, arms[a], seeds, steps, references) for a in arms],
        "claims": _claims(arms, seeds, steps),
        "parameters": runs[0]["run"]["parameters"],
        "environment": runs[0]["run"]["environment"],
        "versions": runs[0]["run"]["versions"],
        "sources": sorted({run["run"]["source"] for run in runs}),
        "runs": {_name(run): {**_plain(run["end"]), "sha256": run["sha256"]} for run in runs},
        "curves": _curves(runs),
    }


def _name(run: dict[str, Any]) -> str:
    return f"{run['run']['arm']}-seed{run['run']['seed']}"


def _plain(end: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in end.items() if name != "event"}


def _curves(runs: list[dict[str, Any]]) -> dict[str, dict[str, list[list[float]]]]:
    """arm -> seed -> points [step, training accuracy, validation accuracy]."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for run in runs:
        points = [[x["step"], x["train_accuracy"], x["validation_accuracy"]] for x in run["looks"]]
        found.setdefault(run["run"]["arm"], {})[str(run["run"]["seed"])] = points
    return found


def bounded(value: float | None, bound: str, digits: int = 0) -> str:
    """A number with its bound, as tables show it: `1,200`, `>= 2,000`, `-`."""
    if value is None:
        return "-"
    return f"{'' if bound == '=' else bound + ' '}{value:,.{digits}f}"


def _steps(end: dict[str, Any]) -> tuple[float, str]:
    """Steps to the threshold, and `>=` where the run ended without."""
    return (end["steps"], ">=") if end["reached"] is None else (end["reached"], "=")


def _row(
    arm: str,
    by_seed: dict[int, dict[str, Any]],
    seeds: list[int],
    steps: dict[str, list[tuple[float, str]]],
    references: References,
) -> dict[str, Any]:
    ends = [by_seed[seed]["end"] for seed in seeds]
    settings = by_seed[seeds[0]]["run"]["slice"]["arm"]
    median, bound = _median(steps[arm])
    row: dict[str, Any] = {
        "arm": arm,
        "title": settings["title"],
        "steps": " / ".join(bounded(*pair) for pair in steps[arm]),
        "median": bounded(median, bound),
        "validation_at_end": [round(end["all_validation_accuracy"], 3) for end in ends],
    }
    for name, reference in references.model_dump().items():
        pairs = zip(steps.get(reference, []), steps[arm], strict=False)
        ratios = [_ratio(above, below) for above, below in pairs]
        known = [ratio for ratio in ratios if ratio is not None]
        complete = len(known) == len(ratios)
        row[name] = bounded(*_median(known) if complete else (None, "="), digits=2)
    if by_seed[seeds[0]]["run"]["slice"]["task"] == GrokkingTask().model_dump(mode="json"):
        quotient = PUBLISHED["baseline"] / median if median and bound == "=" else None
        row["published_baseline"] = bounded(quotient, "=", digits=1)
    return row


def _ratio(above: tuple[float, str], below: tuple[float, str]) -> tuple[float, str] | None:
    """above / below; None where both are censored."""
    (a, a_bound), (b, b_bound) = above, below
    if a_bound == b_bound == ">=":
        return None
    return a / b, {(">=", "="): ">=", ("=", ">="): "<=", ("=", "="): "="}[a_bound, b_bound]


def _median(values: list[tuple[float, str]]) -> tuple[float | None, str]:
    """The median; a bound where a censored value may reach it.

    Bounds of both kinds (`>=` and `<=`) allow no median.
    """
    bounds = {bound for _, bound in values} - {"="}
    if not values or len(bounds) > 1:
        return None, "="
    middle = statistics.median(value for value, _ in values)
    if not bounds:
        return middle, "="
    bound = bounds.pop()
    # The censored values' true ones lie beyond them: they leave the middle alone where all of
    # them are on its far side already and the middle itself is known.
    sign = 1 if bound == ">=" else -1
    known = [value for value, b in values if b == "="]
    beyond = all(sign * value > sign * middle for value, b in values if b != "=")
    return (middle, "=") if beyond and middle in known else (middle, bound)


def _claims(
    arms: dict[str, dict[int, dict[str, Any]]],
    seeds: list[int],
    steps: dict[str, list[tuple[float, str]]],
) -> list[dict[str, Any]]:
    """What the benchmark is there to show, held against these runs."""
    published = steps.get(GROKFAST_ARM, [])
    ends = [arms[BASELINE][seed]["looks"][-1] for seed in seeds] if BASELINE in arms else []
    claims: list[dict[str, Any]] = [
        {
            "claim": f"GrokFast as published reaches the threshold within {GROKFAST_CAP:,} "
            "steps on every seed",
            "holds": all(b == "=" and value <= GROKFAST_CAP for value, b in published),
            "measured": " / ".join(bounded(*pair) for pair in published),
        },
        {
            "claim": "the baseline without decay is below 50% at the end of its runs",
            "holds": all(end["validation_accuracy"] < BASELINE_BELOW for end in ends),
            "measured": ", ".join(
                f"{end['validation_accuracy']:.3f} at {end['step']:,}" for end in ends
            ),
        },
    ]
    for claim in claims:
        if not claim["measured"]:
            claim.update(holds=None, measured="not run")
    best = min(steps, key=lambda arm: max((v, b == ">=") for v, b in steps[arm]))
    slowest = max(value for value, _ in steps[best])
    reached = all(bound == "=" for _, bound in steps[best])
    claims.append(
        {
            "claim": f"the best arm reaches the threshold in at most "
            f"{PUBLISHED['moving_average']} steps on every seed",
            "holds": reached and slowest <= PUBLISHED["moving_average"],
            "measured": f"{best}: " + " / ".join(bounded(*pair) for pair in steps[best]),
        }
    )
    return claims


def _note(task: dict[str, Any]) -> str:
    return (
        f"x * y mod {task['modulus']}, {task['train_share']:.0%} of all pairs for training. Steps: "
        f"first look with at least {task['threshold']:.0%} of {task['eval_items']:,} validation "
        f"pairs right, a look every {task['eval_every']} steps. `>=`: not reached within that many."
    )
