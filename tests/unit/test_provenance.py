"""Hashes of code and files: what counts, what does not, and what a manifest notices."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.closure import CodeIndex, module_hashes, module_path, source_hash
from cogment_pipe.errors import CogmentError
from cogment_pipe.guard import HashCache
from cogment_pipe.provenance import (
    read_manifest,
    sha256_file,
    verify_manifest,
    versions,
    write_manifest,
)

SOURCE = '''"""What it is."""

import os


def area(side):
    """Side times side."""
    text = f"{side!r:>{4}} {{x}}"
    return side * side
'''

SAME = [
    ("# a comment\n" + SOURCE, "comment"),
    (SOURCE.replace("What it is", "Something else"), "module docstring"),
    (SOURCE.replace("Side times side", "The area"), "function docstring"),
    (SOURCE.replace("    ", "  "), "indentation width"),
    (SOURCE.replace("import os\n\n\n", "import os\n"), "blank lines"),
    (SOURCE.replace("side * side", "side*side"), "spaces"),
    (SOURCE.replace("    return", "\n    # why\n    return"), "comment in a body"),
]
OTHER = [
    (SOURCE.replace("side * side", "side + side"), "operator"),
    (SOURCE.replace("!r", "!s"), "inside an f-string"),
    (SOURCE.replace("import os", "import sys"), "import"),
    (SOURCE.replace("    return", "    'x'.join('')\n    return"), "a call on a string"),
    (SOURCE.replace("    return side", "    if side:\n        return side"), "indentation"),
]


@pytest.fixture
def package(tmp_path):
    """A package root to put modules into; returns a function that writes one."""

    def write(name: str, text: str):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(("text", "what"), SAME, ids=[what for _, what in SAME])
def test_layout_comments_and_docstrings_do_not_count(package, text, what):
    """What cannot change behaviour retrains nothing."""
    before = source_hash("cogment_pipe.shape", root=package("shape.py", SOURCE))
    assert source_hash("cogment_pipe.shape", root=package("shape.py", text)) == before


@pytest.mark.parametrize(("text", "what"), OTHER, ids=[what for _, what in OTHER])
def test_behaviour_counts(package, text, what):
    """Every other token does."""
    before = source_hash("cogment_pipe.shape", root=package("shape.py", SOURCE))
    assert source_hash("cogment_pipe.shape", root=package("shape.py", text)) != before


def test_the_closure_follows_every_import(package):
    """Absolute, relative, inside functions, of attributes, by name; packages' __init__ too."""
    package("a.py", "from cogment_pipe.sub import thing\n\ndef f():\n    from . import lazy\n")
    package("lazy.py", "import cogment_pipe.deep.er\n")
    package("sub/__init__.py", "from .inner import VALUE\n")
    package("sub/thing.py", "")
    package("sub/inner.py", "VALUE = 1\n")
    package("deep/__init__.py", "")
    by_name = "importlib.import_module('cogment_pipe.' + TABLE[key])"
    package("deep/er.py", f"import importlib\n\nTABLE = {{'x': 'table.entry'}}\nM = {by_name}\n")
    package("table/__init__.py", "")
    package("table/entry.py", "")
    root = package("unused.py", "")
    assert set(module_hashes("cogment_pipe.a", root=root)) == {
        f"cogment_pipe.{name}"
        for name in (
            *("a", "lazy", "sub", "sub.thing", "sub.inner", "deep", "deep.er"),
            *("table", "table.entry"),
        )
    }


def test_the_closure_leaves_out_what_never_runs(package):
    """Imports for type checkers, and the package's own lazy __init__."""
    package("__init__.py", "from cogment_pipe import unused\n")
    package("unused.py", "")
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import cogment_pipe.unused\n"
    root = package("a.py", text)
    assert list(module_hashes("cogment_pipe.a", root=root)) == ["cogment_pipe.a"]


def test_an_entry_that_does_not_exist_is_an_error(package):
    """A renamed entry module must not turn into a constant hash of nothing."""
    with pytest.raises(CogmentError, match=r"no module cogment_pipe\.gone"):
        source_hash("cogment_pipe.gone", root=package("a.py", ""))


def test_editing_one_module_changes_its_own_hash_only(package):
    """`why` names the module that changed."""
    package("a.py", "from cogment_pipe import b, c\n")
    package("b.py", "X = 1\n")
    before = module_hashes("cogment_pipe.a", root=package("c.py", "Y = 1\n"))
    after = module_hashes("cogment_pipe.a", root=package("c.py", "Y = 2\n"))
    assert {name for name in before if before[name] != after[name]} == {"cogment_pipe.c"}


def test_the_store_changes_no_answer(package, tmp_path, monkeypatch):
    """A stored module is not read again, a changed one is, a damaged store is forgotten."""
    package("a.py", "from cogment_pipe import b\n")
    root, store = package("b.py", "X = 1\n"), tmp_path / "store.json"
    first = CodeIndex(root, store)
    before = first.source_hash("cogment_pipe.a")
    first.save()
    with monkeypatch.context() as patched:
        patched.setattr("cogment_pipe.closure._text_hash", lambda text: "read again")
        assert CodeIndex(root, store).source_hash("cogment_pipe.a") == before
        package("b.py", "X = 2\n")
        changed = CodeIndex(root, store).module_hashes("cogment_pipe.a")
        assert changed["cogment_pipe.b"] == "read again"
    assert CodeIndex(root, store).source_hash("cogment_pipe.a") == source_hash(
        "cogment_pipe.a", root=root
    )
    store.write_text("{")
    package("b.py", "X = 1\n")
    assert CodeIndex(root, store).source_hash("cogment_pipe.a") == before


def test_every_module_can_be_hashed(project):
    """No file of the package is beyond the tokenizer, and each import is found."""
    index = CodeIndex()
    for path in sorted((project / "cogment_pipe").rglob("*.py")):
        parts = path.relative_to(project).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if name == "cogment_pipe":
            continue
        assert module_path(name) == path
        assert name in index.module_hashes(name)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "b.txt").write_text("b")
    write_manifest(tmp_path, {"stage": 1}, ["a.bin", "b.txt"])
    return tmp_path


def test_a_manifest_names_every_output(folder):
    """A whole folder verifies, and its manifest is canonical: the same content, the same bytes."""
    assert verify_manifest(folder) == []
    before = (folder / "manifest.json").read_bytes()
    write_manifest(folder, {"stage": 1}, ["b.txt", "a.bin"])
    assert (folder / "manifest.json").read_bytes() == before
    assert sorted(read_manifest(folder)["outputs"]) == ["a.bin", "b.txt"]


def test_a_flipped_byte_and_a_missing_file_are_problems(folder):
    """Each file that does not match is one line with its path."""
    (folder / "a.bin").write_bytes(b"abd")
    (folder / "b.txt").unlink()
    problems = verify_manifest(folder)
    assert [line.split(": ")[0] for line in problems] == [
        str(folder / "a.bin"),
        str(folder / "b.txt"),
    ]


def test_a_file_beside_the_folder_counts(tmp_path):
    """The tokenizer lies above the data that were made with it."""
    folder, beside = tmp_path / "stage3", tmp_path / "tokenizer.json"
    folder.mkdir()
    beside.write_text("{}")
    write_manifest(folder, {"beside": {"tokenizer.json": sha256_file(beside)}}, [])
    assert verify_manifest(folder) == []
    beside.write_text("{ }")
    (problem,) = verify_manifest(folder)
    assert problem.startswith(f"{beside}: sha256 is ")
    beside.unlink()
    assert verify_manifest(folder) == [f"{beside}: missing"]


@pytest.mark.parametrize(("old", "new"), [('"stage": 1', '"stage": 2'), ('"self"', '"selg"')])
def test_a_changed_manifest_is_a_problem(folder, old, new):
    """Also where no output is touched, or where its seal is what was changed."""
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace(old, new))
    assert verify_manifest(folder) == [f"{path}: changed since it was written"]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_manifest_is_one_line(folder, text):
    """Truncated or emptied manifests are named, not raised as something else."""
    (folder / "manifest.json").write_text(text)
    (problem,) = verify_manifest(folder)
    assert "manifest.json: damaged" in problem


def test_the_cache_reads_again_only_what_moved(folder, tmp_path, monkeypatch):
    """A file of the same size, time and inode is not read again; a rewritten one is."""
    cache = HashCache(tmp_path / "cache.json")
    first = cache.sha256(folder / "a.bin")
    cache.save()
    again = HashCache(tmp_path / "cache.json")
    monkeypatch.setattr("cogment_pipe.guard.sha256_file", lambda path: "read again")
    assert again.sha256(folder / "a.bin") == first
    (folder / "a.bin").write_bytes(b"abcd")
    assert again.sha256(folder / "a.bin") == "read again"


def test_a_damaged_cache_is_forgotten(tmp_path):
    """It costs time, never a wrong answer."""
    (tmp_path / "cache.json").write_text("{")
    assert HashCache(tmp_path / "cache.json").known == {}


def test_versions_need_no_import():
    """Versions come from the installed packages' metadata and hold no path."""
    found = versions()
    assert {"python", "torch", "numpy"} <= set(found)
    assert "/" not in json.dumps(found)
