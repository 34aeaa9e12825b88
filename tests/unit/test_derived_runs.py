"""Which run trains what: variants and seeds share every stage that they do not change."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.config import PipelineConfig, load_config
from cogment_pipe.derived_runs import MAIN, DerivedRuns
from cogment_pipe.errors import CogmentError
from cogment_pipe.slices import stage_slice


def load(project, **user) -> PipelineConfig:
    return load_config(project, project, {"scale": "tiny", **user})


@pytest.fixture
def runs(project) -> DerivedRuns:
    return DerivedRuns(load(project))


def trained(runs: DerivedRuns, run: str) -> list[str]:
    return [runs.trained_by(run, k) for k in range(5)]


@pytest.mark.parametrize(
    ("variant", "shared"),
    [
        ("gate_content", 2),  # memory is written from stage 2 on
        ("replay_off", 1),
        ("grokfast_off", 1),  # stage 0 has the filter off anyway
        ("grokfast_everywhere", 1),
        ("grokfast_components", 5),  # what tiny has
        ("ema_off", 0),
    ],
)
def test_a_variant_trains_from_its_first_change_on(runs, variant, shared) -> None:
    """Stages before it are the base run's; a variant without a change trains nothing."""
    own = f"{variant}-seed0"
    assert trained(runs, own) == ["base-seed0"] * shared + [own] * (5 - shared)


def test_variants_share_data_and_seeds_do_not(runs) -> None:
    """Data depends on the seed alone here: the main run's for its seed, else the seed's own."""
    assert runs.data_folder("ema_off-seed0") == "results/data"
    assert runs.data_folder("ema_off-seed3") == "results/runs/seed3/data"
    assert runs.data_folder("seed3") == "results/runs/seed3/data"
    assert runs.stage_folder("gate_content-seed3", 1) == "results/runs/base-seed3/stage1"


def test_a_variant_that_changes_data_has_its_own(project) -> None:
    """A variant of the augmentation prepares data of its own, for all stages together."""
    variant = {"title": "t", "stages": [1], "stage": {"augmentation_rate": 0.25}}
    runs = DerivedRuns(load(project, ablations={"variants": {"plain": variant}}))
    assert runs.data_folder("plain-seed0") == "results/runs/plain-seed0/data"
    assert trained(runs, "plain-seed0") == ["plain-seed0"] * 5


def test_the_main_seed_is_the_main_run(runs) -> None:
    """`seed0` trains nothing where the main run has seed 0; another seed trains everything."""
    assert trained(runs, "seed0") == [MAIN] * 5
    assert trained(runs, "seed1") == ["seed1"] * 5
    assert runs.score_file("seed0", 4) == "results/eval/stage4/metrics.json"


def test_a_full_budget_takes_the_main_run_for_the_base(project) -> None:
    """With all steps and the main seed the base run is the main one."""
    runs = DerivedRuns(load(project, ablations={"budget": 1.0}))
    assert trained(runs, "base-seed0") == [MAIN] * 5
    assert trained(runs, "gate_content-seed0") == [MAIN] * 2 + ["gate_content-seed0"] * 3


def test_the_budget_shortens_every_stage(project, runs) -> None:
    """A third of the steps, of the looks and of the warm-up; nothing else of the base changes."""
    config, base = load(project), runs.config("base-seed0")
    for k, stage in config.stages.items():
        short = base.stages[k]
        assert short.max_steps == round(stage.max_steps * 0.3333)
        assert short.eval_every == round(stage.eval_every * 0.3333)
        same = {"max_steps", "eval_every", "patience", "warmup_steps"}
        assert short.model_dump(exclude=same) == stage.model_dump(exclude=same)
    assert base.model_dump(exclude={"stages"}) == config.model_dump(exclude={"stages"})


def test_slices_are_those_of_the_run(runs) -> None:
    """Stage slices carry the run's seed and the variant's change, and are valid slices."""
    part = json.loads(runs.stage_slice("gate_content-seed3", 3))
    assert part["seed"] == 3
    assert part["stage"]["memory"]["gate"] == "content"
    assert runs.stage_slice(MAIN, 3) == stage_slice(runs.main, 3)


@pytest.mark.parametrize("scale", ["tiny", "small", "full"])
def test_every_variant_fits_every_scale(project, scale) -> None:
    """A typo in a variant is found here, without running it."""
    runs = DerivedRuns(load(project, scale=scale))
    compared = json.loads(runs.comparison())
    assert {each["name"] for each in compared["variants"]} == {
        "base", *runs.main.ablations.variants
    }  # fmt: skip
    assert all(len(f) == 5 for by in compared["files"].values() for f in by.values())


def test_typos_are_one_line(project, runs) -> None:
    """An unknown key of a stage, an unknown variant, and a name that is no run's."""
    wrong = {"title": "t", "stage": {"emma": 1}}
    broken = DerivedRuns(load(project, ablations={"variants": {"wrong": wrong}}))
    with pytest.raises(CogmentError, match=r"variants.wrong: stages.0.emma: .* did you mean ema"):
        broken.config("wrong-seed0")
    with pytest.raises(CogmentError, match="no variant 'other'; known: base, "):
        runs.config("other-seed0")
    with pytest.raises(CogmentError, match="no run 'seeds'"):
        runs.config("seeds")


def test_confirmed_variants_bring_seeds_to_the_base(project) -> None:
    """A paired difference needs the base at every seed of any variant."""
    config = load(project, ablations={"seeds": [0], "confirmed": ["ema_off"], "only": ["ema_off"]})
    assert config.ablations.compared() == {"base": (0, 1, 2), "ema_off": (0, 1, 2)}
    with pytest.raises(CogmentError, match="'nobody' is named in confirmed or only"):
        load(project, ablations={"only": ["nobody"]})
    with pytest.raises(CogmentError, match="'base' is the configuration itself"):
        load(project, ablations={"variants": {"base": {"title": "t"}}})
