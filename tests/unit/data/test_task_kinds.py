"""Which code a stage's data depend on. Run: pytest tests/unit/data/test_task_kinds.py"""

import json
import subprocess
import sys

import pytest

from cogment_pipe.closure import CodeIndex
from cogment_pipe.config import load_config
from cogment_pipe.corpora import absolute
from cogment_pipe.data.task_kinds import prepare_modules, split_modules
from cogment_pipe.slices import corpus_slice, data_slice

INDEX = CodeIndex()
PREPARE = """
import json, sys
from pathlib import Path
from cogment_pipe.data.prepare import prepare_stage
stage, text, out = int(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
beside = {}
if len(sys.argv) > 4:
    beside = {"corpus": Path(sys.argv[4]), "tokenizer": Path(sys.argv[5])}
prepare_stage(stage, text, out, **beside)
print(json.dumps(sorted(name for name in sys.modules if name.startswith("cogment_pipe."))))
"""
SPLIT = PREPARE.replace("data.prepare", "data.corpus").replace("prepare_stage", "split_corpus")


@pytest.fixture(scope="module")
def parts(project):
    """Slices of all stages at scale tiny, on built-in tasks and on real files where these are."""

    def made(kind, k, root):
        user = {"scale": "tiny", **({"corpora_root": root} if root else {})}
        part = json.loads(kind(load_config(project, project, user), k))
        return part, absolute(part, project)

    return made


def modules_used(project, program, *words):
    """Modules of this package that a fresh process has imported when its work is done."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def text_files(project, tmp_path, parts, k, root):
    """Split text and tokenizer of a stage, made in this process."""
    from cogment_pipe.data.corpus import split_corpus
    from cogment_pipe.data.tokenizer import train_tokenizer

    split_corpus(k, parts(corpus_slice, k, root)[1], tmp_path / "text")
    train_tokenizer({"vocab_size": 384}, [tmp_path / "text"], tmp_path / "tokenizer.json")
    return tmp_path / "text", tmp_path / "tokenizer.json"


@pytest.mark.parametrize(("k", "files"), [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (4, 0)])
def test_the_hash_of_a_stage_covers_every_module_it_runs(project, tmp_path, parts, k, files):
    """Promise: a rule's source hash is never too narrow: no module runs that it leaves out."""
    root = "../shared/data" if files else None
    if files and not (project / root).is_dir():
        pytest.skip("../shared/data is not here: samples of the real corpora")
    part, full = parts(data_slice, k, root)
    hashed = set(INDEX.module_hashes("cogment_pipe.data.prepare", *prepare_modules(part)))
    beside = text_files(project, tmp_path, parts, k, root) if k > 2 else ()
    words = (k, json.dumps(full), tmp_path / "out", *beside)
    used = modules_used(project, PREPARE, *words)
    assert "cogment_pipe.data.prepare" in used and used <= hashed
    if k > 2:
        part, full = parts(corpus_slice, k, root)
        hashed = set(INDEX.module_hashes("cogment_pipe.data.corpus", *split_modules(part)))
        used = modules_used(project, SPLIT, k, json.dumps(full), tmp_path / "again")
        assert used <= hashed


def test_a_generator_concerns_its_own_stages_only(parts):
    """Promise: editing one task's generator makes the data of other stages not run again."""
    users = {}
    for k in range(5):
        part = parts(data_slice, k, None)[0]
        named = list(prepare_modules(part))
        if k > 2:
            named += split_modules(part)
            hashed = INDEX.module_hashes("cogment_pipe.data.corpus", *named)
        else:
            hashed = INDEX.module_hashes("cogment_pipe.data.prepare", *named)
        for name in hashed:
            users.setdefault(name.removeprefix("cogment_pipe.data."), set()).add(k)
    assert users["generators.linear_map"] == {0}
    assert users["generators.arc_rules"] == {1}
    assert users["generators.sudoku"] == users["generators.listops"] == {2}
    assert users["generators.maze"] == {0, 2}
    assert users["generators.two_hop"] == {3} and users["generators.needle"] == {4}
    assert "loaders.hotpotqa" not in users


def test_own_grids_and_corpora_name_their_readers():
    """Promise: real files bring their reader into the hash, and `kind: grids` the one of grids."""
    stage = {"source": "corpora", "tasks": {}, "corpora": {"a": {"corpus": "maze_hard"}}}
    assert prepare_modules({"stage": stage, "corpora": {}}) == [
        "cogment_pipe.data.loaders.maze_csv"
    ]
    own = {"maze_hard": {"path": "x", "kind": "grids"}}
    assert prepare_modules({"stage": stage, "corpora": own}) == [
        "cogment_pipe.data.loaders.own_grids"
    ]
    assert split_modules({"stage": stage, "corpora": {}}) == ["cogment_pipe.data.loaders.real"]
