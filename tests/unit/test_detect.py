"""Verdicts on a stage's curve, and grokking, on curves drawn by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from cogment_pipe.detect import ConvergenceDetector, find_grokking
from cogment_pipe.stage_config import StageConfig


def detector(**change: object) -> ConvergenceDetector:
    settings = {"name": "x", "max_steps": 1000, "batch_size": 1, "sequence_length": 1}
    settings |= {"learning_rate": 1e-3, "max_refinement_steps": 4, "tasks": {}}
    settings |= {"patience": 20, "min_accuracy": 0.8, "max_ponder_cost": 3.0} | change
    return ConvergenceDetector(StageConfig(**settings))


def feed(d: ConvergenceDetector, points: list[tuple[int, float, float, float]]) -> list[bool]:
    return [
        d.update(step, accuracy=a, loss=loss, ponder=p, train_accuracy=0.5)
        for step, a, loss, p in points
    ]


def test_no_verdict_before_a_point_and_while_it_gets_better():
    """Accuracy or loss that still improves keeps the stage going."""
    d = detector()
    assert d.verdict(500) is None
    better = feed(d, [(10, 0.5, 2.0, 2.0), (20, 0.5, 1.5, 2.0), (30, 0.6, 1.5, 2.0)])
    assert better == [True, False, True]
    assert d.verdict(30) is None and d.verdict(49) is None


def test_plateau_with_all_criteria_has_converged():
    """20 steps without progress, accuracy .9 >= .8, ponder 2 <= 3."""
    d = detector()
    feed(d, [(10, 0.9, 1.0, 2.0), (20, 0.9, 1.0, 2.0), (30, 0.85, 1.1, 2.0)])
    verdict, reason = d.verdict(30)
    assert verdict == "converged" and "since step 10" in reason
    assert d.state.best_step == 10


@pytest.mark.parametrize(
    ("accuracy", "ponder", "said"), [(0.7, 2.0, "accuracy 0.700 < 0.8"), (0.9, 3.5, "ponder 3.50")]
)
def test_plateau_without_a_criterion_is_unmet_and_says_which(accuracy, ponder, said):
    """The reason names what is missing."""
    d = detector()
    feed(d, [(10, accuracy, 1.0, ponder), (30, accuracy, 1.0, ponder)])
    verdict, reason = d.verdict(30)
    assert verdict == "plateau_unmet" and said in reason


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(10, 0.95, 1.0, 2.0), (20, 0.6, 1.2, 2.0), (30, 0.95, 1.0, 2.0)], "accuracy unsteady"),
        ([(10, 0.95, 1.0, 1.0), (20, 0.95, 1.0, 2.9), (30, 0.95, 1.0, 1.0)], "ponder unsteady"),
    ],
)
def test_a_plateau_that_swings_has_not_converged(points, said):
    """The last look is good, and the looks of the plateau are .35, or 1.9 steps, apart."""
    d = detector()
    feed(d, points)
    verdict, reason = d.verdict(30)
    assert verdict == "plateau_unmet" and said in reason
    allowed = detector(max_accuracy_range=0.4, max_ponder_range=2.0)
    feed(allowed, points)
    assert allowed.verdict(30)[0] == "converged"


def test_what_swung_before_the_plateau_is_forgotten():
    """Steady from step 10 on; the jump from .2 was before."""
    d = detector()
    feed(d, [(5, 0.2, 2.0, 4.0), (10, 0.95, 1.0, 2.0), (30, 0.94, 1.0, 2.1)])
    assert d.verdict(30)[0] == "converged"


def test_a_gain_below_min_delta_is_no_progress():
    """Creeping by less than min_delta ends the stage, though the best is still noted."""
    d = detector(min_delta=0.05)
    assert (
        feed(d, [(10, 0.9, 1.0, 1.0), (20, 0.92, 0.99, 1.0), (30, 0.94, 0.98, 1.0)]) == [True] * 3
    )
    assert d.verdict(30)[0] == "converged"
    assert d.state.best_step == 30


def test_a_loss_that_is_not_finite_is_never_progress():
    """NaN does not count, whatever the accuracy."""
    d = detector()
    assert feed(d, [(10, 0.5, 1.0, 1.0), (30, 0.9, math.nan, 1.0)]) == [True, False]
    assert d.state.progress_step == 10


def test_state_goes_through_json_and_comes_to_the_same_verdict():
    """A resumed run continues with every value, infinities included."""
    fresh = detector()
    fresh.load_state_dict(json.loads(json.dumps(detector().state_dict())))
    assert fresh.state == detector().state
    d = detector()
    feed(d, [(10, 0.9, 1.0, 2.0)])
    fresh.load_state_dict(json.loads(json.dumps(d.state_dict())))
    for each in (d, fresh):
        feed(each, [(30, 0.9, 1.0, 2.0)])
    assert fresh.state == d.state and fresh.verdict(30) == d.verdict(30)


def test_a_state_that_lacks_something_is_no_state():
    """Nothing missing is taken for its default: a resumed run would end differently, unnoticed."""
    whole = detector().state_dict()
    for name in whole:
        with pytest.raises(KeyError, match=name):
            detector().load_state_dict({k: v for k, v in whole.items() if k != name})


def curve(*points: tuple[float, float, float]) -> list[list[float]]:
    return [list(p) for p in points]


def test_grokking_is_a_late_rise_after_memorising():
    """Train .95 at 100 with validation .2; validation .9 at 500: grokked at 500."""
    found = find_grokking(curve((50, 0.6, 0.1), (100, 0.97, 0.2), (300, 1, 0.4), (500, 1, 0.95)))
    assert found == 500


@pytest.mark.parametrize(
    "points",
    [
        [(100, 0.97, 0.6), (500, 1, 0.95)],  # validation was up when training was
        [(100, 0.97, 0.2), (150, 1, 0.95)],  # too soon after
        [(100, 0.97, 0.2), (500, 1, 0.8)],  # never rose
        [(100, 0.5, 0.2), (500, 0.9, 0.95)],  # never memorised
        [],
    ],
)
def test_what_is_not_grokking(points):
    """Ordinary learning and mere memorising are not called grokking."""
    assert find_grokking(curve(*points)) is None


@pytest.mark.parametrize(("arm", "groks"), [("muon", True), ("B", False)])
def test_real_curves_of_the_grokking_benchmark(project, arm, groks):
    """Muon memorises by step 220 and generalises at 400 or later; B does both close together."""
    evidence = json.loads((project / "docs" / "evidence" / "grokking.json").read_text())
    for seed, points in evidence["curves"][arm].items():
        found = find_grokking(points)
        assert (found is not None) == groks
        assert not groks or found >= evidence["runs"][f"{arm}-seed{seed}"]["reached"]


CURVES = {
    # name: (patience, verdict, what the reason says, last step at which there was progress)
    "converged": (40, "converged", "accuracy 0.984", 210),
    "improving": (40, None, "", None),
    "noisy": (100, "plateau_unmet", "accuracy 0.0", None),
    "collapsing_halting": (100, "plateau_unmet", "accuracy 0.0", None),
    "nan": (40, "plateau_unmet", "accuracy 0.000 < 0.8", 50),
}


@pytest.mark.parametrize("name", CURVES)
def test_verdicts_on_recorded_curves(name):
    """Curves of real trainings (`record_curves`): each ends as it should, and not before."""
    patience, verdict, said, progress = CURVES[name]
    points = json.loads(Path(__file__).with_name("curves.json").read_text())[name]
    d, found = detector(patience=patience, min_delta=1e-3), []
    for step, *figures in points:
        accuracy, loss, ponder = (math.nan if f is None else f for f in figures)
        d.update(step, accuracy=accuracy, loss=loss, ponder=ponder, train_accuracy=0.0)
        found.append((step, d.verdict(step)))
    ended = [(step, one) for step, one in found if one is not None]
    if verdict is None:
        assert ended == []  # the loss still falls at the end
        return
    step, (first, reason) = ended[0]
    assert first == verdict and said in reason
    assert progress in (None, d.state.progress_step)
    best = max(a for s, a, *_ in points if s <= step)
    if verdict == "converged":
        assert best == 1.0 and step < points[-1][0]
    else:
        assert best < 0.2 and step >= patience
    if name == "collapsing_halting":  # one step is cheap, and no reason to call it converged
        assert points[-1][3] == 1.0 and "ponder" not in reason
    if name == "noisy":  # chance hits do not keep a stage going for ever
        hits = [s for s, a, *_ in points if a > 0]
        assert len(hits) > 10 and max(hits) > step
