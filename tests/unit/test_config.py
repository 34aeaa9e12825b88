"""Configuration: layers, scales and messages."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from cogment_pipe import config as configuration
from cogment_pipe.config import load_config
from cogment_pipe.errors import CogmentError
from cogment_pipe.slices import (
    evaluation_slice,
    report_slice,
)
from cogment_pipe.task_config import AugmentationType, Generator


@pytest.mark.parametrize("scale", ["tiny", "small", "full"])
def test_every_scale_is_valid(load, scale):
    """Each scale overlay fits the models, so a typo in one is found without running it."""
    config = load(scale=scale)
    assert config.scale == scale
    assert sorted(config.stages) == [0, 1, 2, 3, 4]


def test_full_is_the_nominal_table(load):
    """The nominal curriculum of the design, the same at the top level and at scale full."""
    config = load(scale="full")
    table = {
        "max_steps": [500, 4000, 8000, 16000, 32000],
        "batch_size": [16, 8, 6, 4, 2],
        "sequence_length": [128, 256, 512, 1024, 2048],
        "learning_rate": [5e-4, 3e-4, 2e-4, 1e-4, 5e-5],
        "max_refinement_steps": [2, 4, 8, 8, 6],
        "act_threshold": [0.95, 0.98, 0.99, 0.99, 0.99],
        "ponder_start": [0.001, 0.005, 0.005, 0.01, 0.015],
        "ponder_end": [0.005, 0.015, 0.02, 0.02, 0.025],
        "augmentation_rate": [0.0, 0.8, 0.3, 0.1, 0.1],
        "patience": [100, 800, 1500, 3000, 5000],
        "min_accuracy": [0.8, 0.75, 0.7, 0.65, 0.6],
        "max_ponder_cost": [1.8, 3, 4, 5, 5],
        "grokfast": [False, True, True, True, True],
        "grokfast_factor": [1, 1, 1, 0.6, 0.6],
    }
    for key, values in table.items():
        assert [getattr(config.stages[k], key) for k in range(5)] == values, key
    losses = [config.stages[k].loss for k in range(5)]
    assert [loss.deep for loss in losses] == [1, 1, 1, 0.8, 0.6]
    assert [loss.improvement for loss in losses] == [0, 0.5, 1, 1, 1]
    assert [loss.consistency for loss in losses] == [0, 0.1, 0.5, 1, 1]
    assert [loss.ponder for loss in losses] == [0.1, 0.5, 1, 1, 1.2]
    assert [config.stages[k].memory.alpha for k in range(5)] == [0, 0, 0.05, 0.1, 0.15]
    assert [config.stages[k].memory.decay for k in range(5)] == [0, 0, 5e-4, 1e-3, 1e-3]
    assert (config.optimizer.core_lr, config.optimizer.memory_lr) == (3e-4, 1e-4)
    assert (config.grokfast.core_alpha, config.grokfast.core_lamb) == (0.98, 2.0)
    assert (config.grokfast.memory_alpha, config.grokfast.memory_lamb) == (0.95, 1.5)
    assert sum(stage.max_steps for stage in config.stages.values()) == 60_500


BAD = [
    (
        {"set": "stages.3.learnig_rate=3e-4"},
        "config: stages.3.learnig_rate: unknown key; did you mean learning_rate?",
    ),
    (
        {"set": "stages.3.batch_size=-1"},
        "config: stages.3.batch_size: -1 is not allowed; must be at least 1",
    ),
    (
        {"set": "stages.2.learning_rate=0"},
        "config: stages.2.learning_rate: 0 is not allowed; must be more than 0",
    ),
    (
        {"set": "stages.2.memory.alpha=1.5"},
        "config: stages.2.memory.alpha: 1.5 is not allowed; must be at most 1",
    ),
    (
        {"set": "stages.2.learning_rate=.inf"},
        "config: stages.2.learning_rate: inf is not allowed; must be a finite number",
    ),
    (
        {"set": "stages.2.batch_size=abc"},
        "config: stages.2.batch_size: 'abc' is not allowed; must be a whole number",
    ),
    (
        {"set": "stages.2.max_steps=1.5"},
        "config: stages.2.max_steps: 1.5 is not allowed; must be a whole number",
    ),
    (
        {"set": "deterministic=maybe"},
        "config: deterministic: 'maybe' is not allowed; must be true or false",
    ),
    (
        {"set": "stages.2.memory=3"},
        "config: stages.2.memory: 3 is not allowed; must be a mapping (`key: value` lines)",
    ),
    (
        {"set": "stages.2.tasks.maze.generatr=x"},
        "config: stages.2.tasks.maze.generatr: unknown key; did you mean generator?",
    ),
    (
        {"set": "stages.2.tasks.maze.generator=mazes"},
        "config: stages.2.tasks.maze.generator: 'mazes' is not allowed; allowed: "
        + ", ".join(get_args(Generator)[:-1])
        + " or passage_count; did you mean maze?",
    ),
    (
        {"set": "stages.1.augmentation_types=[rotate_90, rotate90]"},
        "config: stages.1.augmentation_types.1: 'rotate90' is not allowed; allowed: "
        + ", ".join(get_args(AugmentationType)[:-1])
        + " or shuffle_distractors; did you mean rotate_90?",
    ),
    (
        {"set": "stages.1.tasks.arc.params={a: {b: 1}}"},
        "config: stages.1.tasks.arc.params.a: {'b': 1} is not allowed; must be a number, text, "
        "true, false, or a list of whole numbers or of texts",
    ),
    (
        {"set": "stages.4.corpora.longbench.corpus=longbanch"},
        "config: stages.4.corpora.longbench.corpus: unknown key; did you mean longbench?",
    ),
    ({"scal": "tiny"}, "config: scal: unknown key; did you mean scale?"),
    ({"scale": "smal"}, "config: scale: 'smal' is not allowed; allowed: auto, tiny, small, full"),
    (
        {"precision": "fp31"},
        "config: precision: 'fp31' is not allowed; allowed: auto, fp32, bf16 or fp16; "
        "did you mean fp32?",
    ),
    ({"seed": -1}, "config: seed: -1 is not allowed; must be at least 0"),
    ({"stop_after": 5}, "config: stop_after: 5 is not allowed; must be at most 4"),
    ({"stages": {7: {}}}, "config: stages.7: unknown key; known here: 0, 1, 2, 3, 4"),
    (
        {"stages": [1]},
        "config: stages: [1] is not allowed; must be a mapping (`key: value` lines)",
    ),
    ({"corpora": {"gsm8": "x"}}, "config: corpora.gsm8: unknown key; did you mean gsm8k?"),
    (
        {"set": "corpora.gsm8k.pth=1"},
        "config: corpora.gsm8k.pth: unknown key; did you mean path?",
    ),
    (
        {"corpora": {"gsm8k": {"revision": "1"}}},
        "config: corpora.gsm8k: needs either path or download",
    ),
    (
        {"corpora": {"gsm8k": {"download": "https://example.org/x"}}},
        "config: corpora.gsm8k: a download needs its sha256",
    ),
    (
        {"corpora_root": "no/such/folder"},
        "config: corpora_root: 'no/such/folder' is not a folder (seen from the project)",
    ),
    (
        {"set": "model.d_model=33"},
        "config: model: d_model / n_heads must be a whole multiple of 4 (2-D RoPE)",
    ),
    (
        {"set": "stages.2.optimizer.clip_nrm=1"},
        "config: stages.2.optimizer: clip_nrm: unknown key; did you mean clip_norm?",
    ),
    (
        {"set": "stages.2.optimizer.core_lr=-1"},
        "config: stages.2.optimizer: core_lr: -1 is not allowed; must be more than 0",
    ),
    (
        {"grokfast": "of"},
        "config: grokfast: 'of' is not allowed; must be a mapping (`key: value` lines)",
    ),
    ({"set": "seed"}, "config: set: 'seed' is not of the form stages.3.batch_size=4"),
    ({"set": "a..b=1"}, "config: set: 'a..b=1' is not of the form stages.3.batch_size=4"),
    ({"set": "seed=[1"}, "config: set: 'seed=[1': the value is not YAML"),
    (
        {"set": "seed=-1;threads=0"},
        "config: seed: -1 is not allowed; must be at least 0 (and 1 more)",
    ),
]


@pytest.mark.parametrize(("user", "line"), BAD, ids=[line[8:40] for _, line in BAD])
def test_bad_values_are_one_line(load, user, line):
    """An unknown key or an impossible value, at any level, is one line: key, value, allowed."""
    with pytest.raises(CogmentError) as caught:
        load(**user)
    assert str(caught.value) == line


def test_broken_yaml_names_file_line_and_column(folder):
    """A syntax error points into the file."""
    (folder / "config.yaml").write_text("seed: 0\nmodel: [1\n")
    with pytest.raises(CogmentError, match=r"config\.yaml:3:1: "):
        load_config(folder)


def test_yaml_that_is_not_a_mapping_is_refused(folder):
    """A list or a bare word at the top level is not taken for an empty configuration."""
    (folder / "config.yaml").write_text("- 1\n")
    with pytest.raises(CogmentError, match="expected `key: value` lines"):
        load_config(folder)


def test_exponents_without_a_dot_are_numbers(load, tmp_path):
    """YAML reads `3e-4` as text; here it is the number that was meant, wherever it is written."""
    assert load(set="stages.3.learning_rate=3e-4").stages[3].learning_rate == 3e-4
    assert load(stages={"3": {"learning_rate": "3e-4"}}).stages[3].learning_rate == 3e-4
    assert load(set="stages.3.max_steps=1e2").stages[3].max_steps == 100
    task = load(set="stages.2.tasks.maze.params.side=1e1").stages[2].tasks["maze"]
    assert task.params["side"] == 10


def test_set_takes_several(load):
    """Several assignments in one `set`, separated by `;` or as a list."""
    for several in ("seed=5; threads=3", ["seed=5", "threads=3"]):
        config = load(set=several)
        assert (config.seed, config.threads) == (5, 3)


def test_precedence_of_the_layers(folder, tmp_path):
    """config.yaml < scale < the working directory's config.yaml < user < set."""
    working = tmp_path / "out"
    working.mkdir()
    local = working / "config.yaml"
    said: list[str] = []

    def rate(user) -> float:
        said.clear()
        return load_config(folder, working, user, None, said.append).stages[3].learning_rate

    assert rate({"scale": "full"}) == 1e-4
    assert rate({"scale": "tiny"}) == 1e-3
    assert said == []
    local.write_text("stages: {3: {learning_rate: 2e-3}}\n")
    assert rate({"scale": "tiny"}) == 2e-3
    assert len(said) == 1 and "config.yaml" in said[0]
    user = {"scale": "tiny", "stages": {3: {"learning_rate": 3e-3}}}
    assert rate(user) == 3e-3
    assert rate({**user, "set": "stages.3.learning_rate=4e-3"}) == 4e-3


def test_a_copied_configuration_stays_below_the_scale(folder, tmp_path):
    """A whole config.yaml copied to the working directory does not undo the scale's values."""
    working = tmp_path / "out"
    working.mkdir()
    text = (folder / "config.yaml").read_text().replace("seed: 0", "seed: 9")
    (working / "config.yaml").write_text(text)
    config = load_config(folder, working, {"scale": "tiny"})
    assert config.seed == 9
    assert config.stages[3].learning_rate == 1e-3


def test_the_scale_can_be_chosen_in_any_layer(folder, tmp_path, monkeypatch):
    """`scale` in the working directory or in `set` counts like one on the command line."""
    working = tmp_path / "out"
    working.mkdir()
    (working / "config.yaml").write_text("scale: tiny\n")
    assert load_config(folder, working).scale == "tiny"
    assert load_config(folder, working, {"set": "scale=small"}).scale == "small"


def test_null_removes_a_task(load):
    """A layer can drop a task of the layer below."""
    config = load(stages={0: {"tasks": {"sequence": None}}})
    assert list(config.stages[0].tasks) == ["linear_map", "toy_maze"]


def test_auto_scale_follows_the_device_and_the_results(project, monkeypatch):
    """auto is full where CUDA is visible, else small; results that exist keep their scale."""
    said: list[str] = []
    monkeypatch.setattr(configuration, "cuda_visible", lambda: True)
    config = load_config(project, project, {"scale": "auto"}, None, said.append)
    assert config.scale == "full" and config.scale_was_auto
    assert "full" in said[0] and "CUDA" in said[0]
    monkeypatch.setattr(configuration, "cuda_visible", lambda: False)
    assert load_config(project, project, {"scale": "auto"}, None).scale == "small"
    assert load_config(project, project, {"scale": "auto"}, "full").scale == "full"
    assert not load_config(project, project, {"scale": "tiny"}, "tiny").scale_was_auto


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_hidden_devices_are_not_visible(monkeypatch, hidden):
    """CUDA_VISIBLE_DEVICES can hide a device that the machine has."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert not configuration.cuda_visible()


def test_grokfast_short_forms(load):
    """`grokfast: off` and `nominal` switch the filter and keep its numbers."""
    assert not load(grokfast="off").grokfast.enabled
    assert not load(grokfast=False).grokfast.enabled
    assert load(grokfast="nominal").grokfast.enabled
    assert load(grokfast="off").grokfast.core_lamb == 2.0


def test_auto_source_uses_configured_corpora(load, tmp_path):
    """Real files where some are configured, built-in tasks where none is."""
    (tmp_path / "gsm8k").mkdir()
    config = load(corpora_root=str(tmp_path))
    assert {k: config.resolved(k).source for k in range(5)} == {
        **dict.fromkeys(range(5), "builtin"),
        3: "corpora",
    }
    assert list(config.resolved(3).corpora) == ["gsm8k"]
    assert list(load(corpora={"arc": str(tmp_path)}).resolved(1).corpora) == ["arc"]


def test_asked_for_corpora_stay_asked_for(load):
    """`source: corpora` without any corpus is not quietly replaced by built-in tasks."""
    config = load(scale="full")
    assert config.resolved(3).source == "corpora"
    assert config.stage_corpora(3) == {"gsm8k": None, "hotpotqa": None}


def test_an_entry_wins_over_the_root(load, tmp_path):
    """`corpora.gsm8k` counts, not the folder of the same name below corpora_root."""
    (tmp_path / "gsm8k").mkdir()
    config = load(corpora_root=str(tmp_path), corpora={"gsm8k": "elsewhere"})
    assert config.corpora["gsm8k"].path == "elsewhere"


def test_own_data_may_have_any_name(load):
    """A corpus with a `kind` is the user's own and needs no known name."""
    config = load(corpora={"mine": {"path": "x.npz", "kind": "grids"}})
    assert config.corpora["mine"].kind == "grids"


def test_stop_after_limits_what_is_evaluated(load):
    """With stop_after 2, evaluation and report know of stages 0 to 2."""
    config = load(stop_after=2)
    assert sorted(json.loads(evaluation_slice(config))["homes"]) == ["0", "1", "2"]
    assert json.loads(report_slice(config))["stages"] == [0, 1, 2]
