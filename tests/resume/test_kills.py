"""All five stages under random kills: the same command again, and in the end the same bytes.

Twenty-four kills by default; `COGMENT_KILLS=200 python -m pytest tests/resume/test_kills.py` makes
it two hundred (half an hour on two cores). `COGMENT_KILLS_SEED` draws other moments.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cogment_pipe.rng import stream
from tests.resume.kills import KINDS, Killer, alive_in
from tests.workflow.conftest import copy_of_the_project

STEPS = 24
TARGET = ("results/stage4/",)
# stages longer and items fewer than at tiny, so that most kills fall inside of stages
SETTINGS = [
    *(f"stages.{k}.max_steps={STEPS}" for k in range(5)),
    *(f"stages.{k}.eval_items=2" for k in range(5)),
    "stages.1.tasks.arc=null",
]
KNOBS = ["runtime.snapshot_every=3", "runtime.log_every=1"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_killed_again_and_again_gives_the_same_bytes(project: Path, tmp_path: Path):
    """SIGKILL, SIGTERM, SIGINT to the trainer, SIGKILL to snakemake and to its whole group.

    Nobody ever unlocks anything by hand, no orphan is left, and the sha256 of every file in
    results/stage*/ and of the data equals that of a run that nobody touched.
    """
    kills = int(os.environ.get("COGMENT_KILLS", "24"))
    seed = int(os.environ.get("COGMENT_KILLS_SEED", "0"))
    config = (f"set={';'.join(SETTINGS)}",)
    unbroken = copy_of_the_project(project, tmp_path / "unbroken")
    done = unbroken.snakemake(*TARGET, config=config)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(unbroken.hashes("results/stage*/checkpoint.pt")) == 5

    broken = copy_of_the_project(unbroken.project, tmp_path / "broken")
    knobs = (f"set={';'.join(SETTINGS + KNOBS)}",)
    killer = Killer(broken, TARGET, knobs, kills, STEPS, stream(seed, 0, 0, 0, "kills"))
    done = killer.carry_on()
    assert done.returncode == 0, done.stderr[-4000:]
    print(f"{kills} kills in {killer.calls} calls: {dict(killer.done)}")
    assert sum(killer.done.values()) == kills and set(killer.done) == set(KINDS)
    for pattern in ("results/stage*/[!.]*", "results/data/**/[!.]*"):
        assert broken.hashes(pattern) == unbroken.hashes(pattern)
    assert alive_in(broken.out) == []
    assert broken.planned(*TARGET, config=knobs) == set()
