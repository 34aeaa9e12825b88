"""Slices: what each rule's part of the configuration holds, and what therefore reruns."""

from __future__ import annotations

import json

import pytest
import yaml

from cogment_pipe.config import PipelineConfig, load_config
from cogment_pipe.slices import (
    corpus_slice,
    data_slice,
    evaluation_slice,
    report_slice,
    stage_slice,
    tokenizer_slice,
)
from cogment_pipe.stage_config import StageSlice


def slices(config: PipelineConfig) -> dict[str, str]:
    found = {"tokenizer": tokenizer_slice(config), "evaluation": evaluation_slice(config)}
    found["report"] = report_slice(config)
    for k in range(config.last_stage + 1):
        found[f"stage{k}"] = stage_slice(config, k)
        found[f"data{k}"] = data_slice(config, k)
        found[f"corpus{k}"] = corpus_slice(config, k)
    return found


def changed(before: PipelineConfig, after: PipelineConfig) -> set[str]:
    old, new = slices(before), slices(after)
    return {name for name in old if old[name] != new[name]}


def test_a_learning_rate_changes_one_stage_slice_only(load):
    """Editing stage 3's learning rate touches stage 3: no data, no other stage, no evaluation."""
    assert changed(load(), load(set="stages.3.learning_rate=3e-4")) == {"stage3", "report"}


CHANGES = [
    ("stages.4.augmentation_rate=0.3", {"stage4", "data4"}),
    ("stages.4.segment_length=32", {"stage4", "data4"}),
    ("stages.4.loss.deep=0.5", {"stage4"}),
    ("stages.4.max_refinement_steps=3", {"stage4", "evaluation"}),
    ("stages.2.max_refinement_steps=4", {"stage2", "stage3", "stage4", "evaluation"}),
    ("stages.2.optimizer.clip_norm=2", {"stage2"}),
    ("evaluation.bootstrap=60", {"evaluation"}),
    ("evaluation.threads=1", {"evaluation"}),
    ("report.title=x", {"report"}),
    ("runtime.snapshot_every=7", set()),
    ("runtime.log_every=7", set()),
    ("runtime.device=cpu", set()),
    ("runtime.tensorboard=true", set()),
    ("on_environment_change=restart", set()),
    ("auto_unlock=false", set()),
    ("optimizer.clip_norm=2", {f"stage{k}" for k in range(5)}),
]


@pytest.mark.parametrize(("assignment", "touched"), CHANGES, ids=[a for a, _ in CHANGES])
def test_a_slice_holds_what_its_rule_depends_on(load, assignment, touched):
    """A key is in exactly the slices of the rules whose outputs depend on it.

    The page tells what differs from config.yaml, so whatever may change a result is in its slice.
    """
    assert changed(load(), load(set=assignment)) == touched | ({"report"} if touched else set())


def test_the_seed_is_in_every_slice_that_draws(load):
    """Another seed makes everything anew."""
    assert changed(load(), load(seed=1)) == set(slices(load()))


def test_slices_are_canonical_and_are_what_training_parses(load):
    """Key order of the YAML does not matter; the trainer's own model accepts the slice."""
    text = stage_slice(load(), 3)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert StageSlice.model_validate(json.loads(text)).stage.name == "MATH_TEXT"


def test_key_order_of_the_yaml_does_not_matter(folder, project):
    """The same values in another order give the same slices."""
    content = yaml.safe_load((folder / "config.yaml").read_text())
    content["stages"] = dict(reversed(content["stages"].items()))
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=True))
    user = {"scale": "tiny"}
    assert slices(load_config(folder, folder, user)) == slices(load_config(project, project, user))


def test_slices_name_no_absolute_folder(load, project):
    """A moved project plans nothing: corpus paths are in the slice as they were spelled."""
    root = project.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip("the corpora samples in ../shared/data are not there")
    config = load(corpora_root="../shared/data")
    assert str(project) not in json.dumps(slices(config))
    assert json.loads(data_slice(config, 3))["corpora"]["gsm8k"]["path"] == "../shared/data/gsm8k"
