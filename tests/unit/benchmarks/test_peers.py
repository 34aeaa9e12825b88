"""Peers on the puzzles of `fit`: their own class from a clone, equal seconds, our scorer."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cogment_pipe import cli
from cogment_pipe.benchmarks.peers.model import PeerSolver, load_peer
from cogment_pipe.benchmarks.peers.run import Batches, best_setting, rate_at
from cogment_pipe.benchmarks.peers.table import compare
from cogment_pipe.config import load_config
from cogment_pipe.data.own_puzzles import has_boxes, read_puzzles
from cogment_pipe.errors import CogmentError
from cogment_pipe.peer_config import PeerClass, PeerSetting
from cogment_pipe.slices import peers_slice
from cogment_pipe.views import Symmetries
from tests.unit import own_models

# A class with the interface of the peers, small enough to read: one linear map a step.
MODEL = """
from types import SimpleNamespace
import torch
from torch import nn

class Fake(nn.Module):
    def __init__(self, config):
        super().__init__()
        if "halt_max_steps" not in config:
            raise ValueError("halt_max_steps is missing")
        self.config = SimpleNamespace(**config)
        self.table = nn.Embedding(config["vocab_size"], config["vocab_size"])
        self.trust = nn.Parameter(torch.zeros(()))

    def initial_carry(self, batch):
        return SimpleNamespace(current_data=batch, halted=torch.ones(len(batch["inputs"])) > 0)

    def forward(self, carry, batch):
        logits = self.table(batch["inputs"].long())
        halt = self.trust.expand(len(logits))
        carry = SimpleNamespace(current_data=batch, halted=carry.halted)
        return carry, {"logits": logits, "q_halt_logits": halt}
"""
LOSSES = """
from torch import nn
from torch.nn import functional as F

class ACTLossHead(nn.Module):
    def __init__(self, model, loss_type):
        super().__init__()
        assert loss_type == "stablemax_cross_entropy"
        self.model = model

    def initial_carry(self, batch):
        return self.model.initial_carry(batch)

    def forward(self, return_keys, carry, batch):
        carry, outputs = self.model(carry, batch)
        labels = carry.current_data["labels"]
        loss = F.cross_entropy(outputs["logits"].flatten(0, 1), labels.flatten())
        return carry, loss + outputs["q_halt_logits"].sum() * 0, {}, {}, True
"""
PEER = PeerClass(module="models.fake", name="Fake", arch={"halt_max_steps": 2})


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder like a peer's clone; its modules are forgotten afterwards."""
    folder = tmp_path / "clone"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "fake.py").write_text(MODEL)
    (folder / "models" / "losses.py").write_text(LOSSES)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("peers") / "sudoku.npz"
    own_models.write_sudokus(path)
    return path


def slice_of(**other) -> dict:
    content = {
        "peer": PEER.model_dump(),
        "settings": [{"learning_rate": 0.1}],
        "seconds": 0.3,
        "seed": 0,
        "threads": 1,
        "augment": ["bands", "relabel"],
    }
    return content | other


def words(clone: Path, data: Path, out: Path, slice: dict, *more: str) -> list[str]:
    given = ["--slice", json.dumps(slice), "--checkout", str(clone), "--data", str(data)]
    return ["benchmark", "peers", "run", *given, "--out", str(out), *more]


def test_a_try_sees_validation_alone_and_the_best_is_tested(clone, data, tmp_path):
    """Test items are scored only by the run that chose among tries; seconds are those told."""
    tries = [tmp_path / f"try{n}.json" for n in range(2)]
    for path, rate in zip(tries, (1e-6, 0.1), strict=True):
        told = slice_of(settings=[{"learning_rate": rate}])
        assert cli.main(words(clone, data, path, told)) == 0
        assert "test" not in json.loads(path.read_text())
    out = tmp_path / "seed0.json"
    named = [str(path) for path in tries]
    assert cli.main(words(clone, data, out, slice_of(), "--tries", *named)) == 0
    record = json.loads(out.read_text())
    assert record["setting"]["learning_rate"] == best_setting(tries).learning_rate
    assert record["test"]["items"] == 9 and record["test"]["refinement_steps"] == 2
    assert 0.3 <= record["train_seconds"] < 5 and record["steps"] > 1
    # A table of symbols cannot solve a blank, but learns that a digit stays what it is.
    assert record["test"]["exact"] == 0.0 and "voted" not in record["test"]


def test_the_best_try_is_that_of_validation(tmp_path):
    """Puzzles first, cells where they are equal."""
    looks = [(0.5, 0.6, 1e-3), (0.5, 0.7, 2e-3), (0.4, 0.9, 3e-3)]
    paths = []
    for number, (exact, cells, rate) in enumerate(looks):
        figures = {"exact": exact, "cells": cells}
        content = {"validation": figures, "setting": {"learning_rate": rate}}
        paths.append(tmp_path / f"try{number}.json")
        paths[-1].write_text(json.dumps(content))
    assert best_setting(paths).learning_rate == 2e-3
    paths[1].write_text("{}")
    with pytest.raises(CogmentError, match="a try has no validation figures"):
        best_setting(paths)


def test_batches_are_symmetric_images_of_training_puzzles(data):
    """No two visits alike, answers turn with questions, and every puzzle comes once an epoch."""
    puzzles = read_puzzles(data, None, 0)
    symmetries = Symmetries(("permute_bands", "relabel_digits"), (2, 3, 4, 5))
    batches = Batches(puzzles.splits["train"], symmetries, len(puzzles.splits["train"]), seed=1)
    one, two = batches.next(), batches.next()
    assert not torch.equal(one["inputs"], two["inputs"])
    answers = one["labels"].numpy().reshape(-1, 4, 4)
    assert has_boxes(answers)
    shown = one["inputs"].numpy().reshape(-1, 4, 4)
    assert (answers[shown != 1] == shown[shown != 1]).all()
    blanks = np.sort((puzzles.splits["train"].inputs == 1).sum(axis=(1, 2)))
    assert np.array_equal(np.sort((shown == 1).sum(axis=(1, 2))), blanks)


def test_views_of_a_peer_vote_as_those_of_fit(clone, data):
    """The same votes: a peer that repeats its input says it in every view."""
    puzzles = read_puzzles(data, None, 0)
    peer = load_peer(clone, PEER, puzzles, 4)
    with torch.no_grad():
        peer.model.table.weight.copy_(9 * torch.eye(puzzles.symbols))
    solver = PeerSolver(peer.model, Symmetries(("dihedral",)))
    grids = puzzles.splits["test"].inputs
    for views in (1, 5):
        assert np.array_equal(solver.solve(grids, views=views).by_step, np.stack([grids] * 2))


def test_the_rate_rises_and_falls_with_the_clock():
    """From near zero to the peak within a twentieth of the time, to a twentieth at its end."""
    shares = [rate_at(p) for p in (0.0, 0.025, 0.05, 0.5, 1.0, 1.2)]
    assert shares[:3] == pytest.approx([1e-3, 0.5, 1.0])
    assert 0.05 < shares[3] < 1 and shares[4:] == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ({"module": "models.none"}, r"models\.none has no Fake that can be imported"),
        ({"name": "Other"}, r"models\.fake has no Other that can be imported"),
        ({"arch": {}}, "Fake refuses its `arch`: halt_max_steps is missing"),
    ],
)
def test_what_cannot_be_had_from_the_clone_is_one_line(
    clone, data, tmp_path, capsys, peer, message
):
    """Class, module or sizes that do not fit: exit 2, no file."""
    told = slice_of(peer=PEER.model_dump() | peer)
    assert cli.main(words(clone, data, tmp_path / "t.json", told)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert re.search(message, line)
    assert not (tmp_path / "t.json").exists()


def test_a_folder_that_is_no_clone_says_what_to_do(data, tmp_path, capsys):
    """The key to set."""
    assert cli.main(words(tmp_path, data, tmp_path / "t.json", slice_of())) == 2
    assert "name its folder in benchmarks.peers.checkout" in capsys.readouterr().err


def test_a_tested_run_depends_on_every_setting_and_a_try_on_its_own(project, tmp_path):
    """Editing one setting runs its try and the tested runs again, no other try."""
    config = load_config(project, tmp_path, {"scale": "small"})
    edited = config.model_copy(deep=True)
    edited.benchmarks.peers.search[0] = PeerSetting(learning_rate=5e-4)
    place = ("trm_attention", "maze9", 52)
    same = [
        peers_slice(config, *place, number=n) == peers_slice(edited, *place, number=n)
        for n in (0, 1)
    ]
    assert same == [False, True]
    assert peers_slice(config, *place, seed=1) != peers_slice(edited, *place, seed=1)
    assert json.loads(peers_slice(config, *place, seed=1))["augment"] == ["dihedral"]


def test_the_table_sets_the_least_of_ours_beside_the_best_of_theirs(tmp_path):
    """`ahead` cannot be had by a lucky seed; tries are in the table too."""
    ours, theirs = [], []
    for seed, (our, their) in enumerate(((0.9, 0.1), (0.8, 0.3))):
        test = {"views": 1, "items": 9, "refinement_steps": 2, "cells": 0.9}
        record = {"steps": 5, "train_seconds": 1.0}
        ours.append(tmp_path / f"maze9-52s-seed{seed}" / "fit.json")
        theirs.append(tmp_path / "trm_mlp-maze9-52s" / f"seed{seed}.json")
        setting = {"learning_rate": 1e-3, "ema": 0.99}
        for path, value, more in ((ours[-1], our, {}), (theirs[-1], their, {"setting": setting})):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(record | more | {"test": test | {"exact": value}}))
    tried = theirs[0].with_name("try0.json")
    looks = {"exact": 0.5, "cells": 0.7}
    tried.write_text(json.dumps({"setting": setting, "validation": looks, "steps": 4}))
    table = compare(ours, theirs, tmp_path / "out")
    fit, peer = table["rows"]
    assert (fit["trained"], fit["exact"], fit["ahead"]) == ("fit", "0.900 / 0.800", None)
    assert (peer["setting"], peer["ahead"]) == ("learning_rate 0.001, ema 0.99", 0.5)
    assert table["tries"][0]["validation exact"] == 0.5
