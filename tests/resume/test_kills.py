"""All five stages under random kills: the same command again, and in the end the same bytes.

`python -m tests.resume.kills --kills 200` does it with as many kills as one likes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.resume.kills import KINDS, killed_and_unbroken

PLANNED, WANTED = 24, 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_killed_again_and_again_gives_the_same_bytes(project: Path, tmp_path: Path):
    """SIGKILL, SIGTERM, SIGINT to the trainer, SIGKILL to snakemake and to its whole group.

    Nobody ever unlocks anything by hand, no orphan is left, and the sha256 of every file in
    results/stage*/ and of the data equals that of a run that nobody touched.
    """
    killer, _ = killed_and_unbroken(project, tmp_path, PLANNED, seed=0)
    print(f"{killer.done} in {killer.calls} calls, {killer.missed} too late")
    assert sum(killer.done.values()) >= WANTED and set(killer.done) == set(KINDS)
