"""The same bytes from any number of processes. Run: pytest tests/unit/data/test_workers.py"""

import hashlib
import subprocess
import sys

from cogment_pipe.data.pictures import draw_stage
from cogment_pipe.data.prepare import prepare_stage

COUNTS = {"train": 40, "validation": 5, "test": 5}
SLICE = {
    "seed": 3,
    "stage": {
        "sequence_length": 128,
        "source": "builtin",
        "augmentation_rate": 0.8,
        "augmentation_types": ["dihedral", "permute_bands"],
        "tasks": {
            "maze": {"generator": "maze", "params": {"side": 7}, **COUNTS},
            "sudoku": {"generator": "sudoku", **COUNTS},
        },
        "corpora": {},
    },
    "corpora": {},
}
WORKER = """
import hashlib, sys
from pathlib import Path
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.sampler import batch_indices
from cogment_pipe.rng import stream
tasks = load_stage(Path(sys.argv[1]), "train")
for step in map(int, sys.argv[2:]):
    digest = hashlib.sha256()
    for name, task in tasks.items():
        index = batch_indices(len(task), 8, step, seed=3, stage=2, task=name)
        batch = task.batch(index, rng=stream(3, 2, step, 0, f"batch/{name}"), augment=True)
        digest.update(batch.inputs.tobytes() + batch.targets.tobytes())
    print(step, digest.hexdigest())
"""


def test_batches_are_the_same_in_one_process_and_in_four_from_any_step(project, tmp_path):
    """Promise: steps shared out among four processes, begun anywhere and in any order, give the
    bytes that one process gives in a row."""
    prepare_stage(2, SLICE, tmp_path / "data")

    def start(*steps):
        words = [sys.executable, "-c", WORKER, str(tmp_path / "data"), *map(str, steps)]
        return subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, text=True)

    def lines(process):
        said, _ = process.communicate()
        assert process.returncode == 0
        return said.splitlines()

    alone = lines(start(*range(12)))
    workers = [start(*reversed(range(first, 12, 4))) for first in range(4)]
    shared = sorted((line for w in workers for line in lines(w)), key=lambda s: int(s.split()[0]))
    assert shared == alone and len(set(alone)) == 12


def test_a_picture_is_the_same_twice(tmp_path):
    """Promise: pictures of the data depend on the data alone."""
    prepare_stage(2, SLICE, tmp_path / "data")
    digests = set()
    for name in ("a.png", "b.png"):
        draw_stage(tmp_path / "data", tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1 and (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
