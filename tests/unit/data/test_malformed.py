"""Malformed files of every layout. Run: pytest tests/unit/data/test_malformed.py"""

import codecs
import copy
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cogment_pipe.data.loaders import files, grid_files
from cogment_pipe.errors import CogmentError
from tests.unit.data.damaged_files import ARC_TASK, HEADER, LAYOUTS, lines, npz

SAME, ERROR = "same", "error"
TEXTS = {name for name, layout in LAYOUTS.items() if layout.kind in ("jsonl", "json")}
WRONG = {"int": 5, "null": None, "text_list": ["a"], "object": {"a": 1}, "true": True}


def write(folder, layout, content):
    for name, sound in layout.beside.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(sound)
    path = folder / layout.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def outcome(folder, layout, content):
    """What the reader made of it; an error must be one line that names a file of the layout."""
    path = write(folder, layout, content)
    try:
        return layout.read(path)
    except CogmentError as error:
        said = str(error)
        names = [layout.name, *layout.beside]
        assert "\n" not in said and "\r" not in said and "Traceback" not in said
        assert any(name.split("/")[-1] in said for name in names) or "corpus mine" in said
        return said


def whole_files(name, layout):
    """Damages that any file can have: (what, bytes, what is expected)."""
    sound = layout.content
    yield "empty", b"", ERROR
    yield "one_byte", sound[:1], ERROR
    yield "binary", bytes(range(256)), ERROR
    yield "zeros", b"\0" * 64, ERROR
    if layout.kind == "npz":
        return
    yield "blank", b" \n\n \n", ERROR
    yield "bom", codecs.BOM_UTF8 + sound, SAME
    yield "crlf", sound.replace(b"\n", b"\r\n"), SAME
    yield "bad_utf8", sound[:-4] + b"\xff\xfe" + sound[-4:], ERROR
    yield "utf16", sound.decode().encode("utf-16"), ERROR
    if layout.kind in ("jsonl", "json"):
        yield "cut", sound[: len(sound) // 2 - 3], ERROR
        for what, value in (("number", 5), ("text", "a"), ("null", None), ("list", [1, [2]])):
            yield f"top_{what}", json.dumps(value).encode(), ERROR
        yield "empty_list", b"[]", ERROR
        yield "deep", b"[" * 100_000, ERROR
        yield "nan", b'{"a": NaN}\n', ERROR
        yield "single_quotes", sound.replace(b'"', b"'"), ERROR


def fields(name, layout):
    """Every field that a record needs, missing and of wrong types."""
    for wanted in layout.fields:
        for what, value in (("missing", ...), *WRONG.items()):
            row = copy.deepcopy(layout.row)
            if type(row[wanted]) is type(value):
                continue  # not wrong here
            if (name, wanted, what) == ("quality", "article", "text_list"):
                continue  # nor here: an article may be a list of lines
            if value is ...:
                del row[wanted]
            else:
                row[wanted] = value
            whole = {"p1": row} if name == "qasper" else row
            yield f"{wanted}_{what}", lines(whole), ERROR


def arc_grids(name, layout):
    """Grids that are none."""
    bad = {
        "colour_11": [[11]],
        "colour_10": [[10]],
        "negative": [[-1]],
        "fraction": [[1.5]],
        "nan": [[float("nan")]],
        "text": [["1"]],
        "true": [[True]],
        "31x31": [[0] * 31] * 31,
        "31_rows": [[0]] * 31,
        "31_columns": [[0] * 31],
        "ragged": [[1, 2], [3]],
        "no_rows": [],
        "no_columns": [[]],
        "flat": [1, 2],
        "deep": [[[1]]],
        "number": 7,
        "null": None,
    }
    for what, grid in bad.items():
        for place in ("input", "output"):
            task = copy.deepcopy(ARC_TASK)
            task["train"][0][place] = grid
            yield f"{place}_{what}", json.dumps(task).encode(), ERROR
    for what, task in (
        ("no_pairs", {**ARC_TASK, "train": []}),
        ("pair_is_list", {**ARC_TASK, "train": [[1, 2]]}),
        ("pair_without_output", {**ARC_TASK, "train": [{"input": [[1]]}]}),
    ):
        yield what, json.dumps(task).encode(), ERROR
    yield "no_tests", json.dumps({**ARC_TASK, "test": []}).encode(), "task_without_test"
    bare = {**ARC_TASK, "test": [{"input": [[1]]}]}
    yield "test_without_output", json.dumps(bare).encode(), "test_without_output"


def tables(name, layout):
    """Rows of CSV and TSV files."""
    rows = {
        "sudoku_extreme": {
            "no_header": "x,12343412..4343.1,1234341221434321,3\n",
            "no_column": "source,question,rating\nx,1,3\n",
            "no_rows": HEADER,
            "short_row": HEADER + "x,1234\n",
            "size": HEADER + "x,12345,12345,1\n",
            "other_size": HEADER + "x,123,1234,1\n",
            "digit_5": HEADER + "x,52343412..4343.1,1234341221434321,3\n",
            "letter": HEADER + "x,a2343412..4343.1,1234341221434321,3\n",
            "blank_answer": HEADER + "x,12343412..4343.1,123434122143432.,3\n",
            "wrong_answer": HEADER + "x,12343412..4343.1,1234341221434312,3\n",
            "other_given": HEADER + "x,21343412..4343.1,1234341221434321,3\n",
            "rating_nan": HEADER + "x,12343412..4343.1,1234341221434321,nan\n",
            "rating_inf": HEADER + "x,12343412..4343.1,1234341221434321,inf\n",
            "rating_text": HEADER + "x,12343412..4343.1,1234341221434321,hard\n",
        },
        "maze_hard": {
            "no_column": "source,question\nx,S\n",
            "no_rows": HEADER,
            "not_square": HEADER + "x,S #,S #,1\n",
            "strange_cell": HEADER + "x,S?#G,SoG#,1\n",
            "no_goal": HEADER + "x,S  #,S  #,1\n",
            "two_starts": HEADER + "x,SSG#,SSG#,1\n",
            "no_way": HEADER + "x,S##G,S##G,1\n",
            "no_path": HEADER + "x,S  G,S  G,1\n",
            "other_maze": HEADER + "x,S  G,So#G,1\n",
            "detour": HEADER + "x,SG       ,SGo      ,1\n",
            "sizes": HEADER + "x,S  G,So G,2\nx,  S##   G,  S##o  G,2\n",
        },
        "own_csv": {
            "no_rows": "question,answer\n",
            "lengths": "question,answer\n12,123\n",
            "rows_differ": "question,answer\n12,12\n123,123\n",
            "letters": "question,answer\nab,12\n",
            "fraction": "question,answer\n1.5 2,1 2\n",
            "value_64": "question,answer\n64 1,1 2\n",
            "negative": "question,answer\n-1 1,1 2\n",
            "nothing_asked": "question,answer\n1 1,-1 -1\n",
            "huge": "question,answer\n1" + "0" * 400 + " 1,1 2\n",
            "digits_without_end": "question,answer\n" + "9" * 200_000 + ",1\n",
        },
        "listops": {
            "one_column": "3 [MAX 3 ]\n",
            "wrong_label": "4\t[MAX 3 ]\n",
            "label_11": "11\t[MAX 3 ]\n",
            "label_text": "x\t[MAX 3 ]\n",
            "operator": "3\t[AVG 3 ]\n",
            "open": "3\t[MAX 3\n",
            "closed_twice": "3\t[MAX 3 ] ]\n",
            "no_argument": "3\t[MAX ]\n",
            "two_trees": "3\t[MAX 3 ] [MIN 3 ]\n",
            "digit_10": "3\t[MAX 10 ]\n",
            "deep": "3\t" + "[MAX " * 5000 + "3" + " ]" * 5000 + "\n",
            "endless": "3\t" + "[MAX " * 300_000 + "\n",
        },
    }
    for what, content in rows.get(name, {}).items():
        yield what, content.encode(), ERROR


def arrays(name, layout):
    """Arrays of an .npz."""
    x = np.arange(12).reshape(4, 3)
    bad = {
        "float": x + 0.5,
        "nan": np.full((4, 3), np.nan),
        "bool": x > 3,
        "text": x.astype(str),
        "object": x.astype(object),
        "value_64": x + 60,
        "negative": x - 5,
        "empty": x[:0],
        "one_axis": x[0],
        "four_axes": x[None, None],
    }
    for what, array in bad.items():
        yield f"x_{what}", npz(x_train=array), ERROR
    yield "y_other_shape", npz(y_train=x[:2]), ERROR
    yield "y_nothing_asked", npz(y_train=np.full((4, 3), -1)), ERROR
    sound = layout.content
    for share in (0.2, 0.5, 0.9):
        yield f"cut_{share}", sound[: int(len(sound) * share)], ERROR


MAKERS = {"arc": arc_grids, "own_npz": arrays}
CASES = [
    pytest.param(name, content, expected, id=f"{name}-{what}")
    for name, layout in LAYOUTS.items()
    for make in (whole_files, fields, tables, MAKERS.get(name))
    if make is not None
    for what, content, expected in make(name, layout)
]


def test_there_are_two_hundred_of_them():
    """Guards the set below against shrinking: 200 and more, each with bytes of its own."""
    assert len(CASES) >= 200
    assert len({(case.values[0], case.values[1]) for case in CASES}) > 0.95 * len(CASES)


@pytest.mark.parametrize(("name", "content", "expected"), CASES)
def test_each_is_one_line_or_read_or_a_counted_drop(tmp_path, name, content, expected):
    """Promise: a malformed file is a one-line error that names it, or a drop that is counted."""
    layout = LAYOUTS[name]
    found = outcome(tmp_path / "damaged", layout, content)
    if expected == ERROR:
        assert isinstance(found, str), found
    elif expected == SAME:
        assert found == outcome(tmp_path / "sound", layout, layout.content)
        assert not isinstance(found, str), found
    else:
        assert found[1].get(expected), found


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_sound_files_are_read(tmp_path, name):
    """Guards the cases above: what they start from is sound."""
    layout = LAYOUTS[name]
    assert not isinstance(outcome(tmp_path, layout, layout.content), str)


@pytest.mark.parametrize("name", sorted(n for n in LAYOUTS if LAYOUTS[n].kind == "jsonl"))
def test_the_line_is_named(tmp_path, name):
    """Promise: damage in line 3 is said to be in line 3."""
    layout = LAYOUTS[name]
    first = layout.content.splitlines(keepends=True)[0]
    said = outcome(tmp_path, layout, first * 2 + b'{"cut": \n' + first)
    assert isinstance(said, str) and ("line 3" in said or "item 3" in said), said


@pytest.mark.parametrize("name", sorted(n for n in TEXTS if not n.startswith("arc")))
@pytest.mark.parametrize("member", ["../{}", "/etc/{}", "a/../../{}", "C:\\{}"])
def test_archives_with_members_outside_are_refused(tmp_path, name, member):
    """Promise: no archive of any text layout is read whose member leaves it."""
    layout = LAYOUTS[name]
    folder = write(tmp_path, layout, layout.content).parent
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr(member.format("x.jsonl"), layout.content)
    with pytest.raises(CogmentError, match=r"more\.zip: member .* leaves the archive"):
        layout.read(tmp_path / layout.name)


def test_gigantic_lines_are_refused(tmp_path, monkeypatch):
    """Promise: a line has a largest length in every layout of lines."""
    monkeypatch.setattr(files, "MAX_LINE", 2000)
    monkeypatch.setattr(grid_files, "LONGEST_LINE", 2000)
    for name, layout in LAYOUTS.items():
        if layout.kind in ("jsonl", "tsv"):
            said = outcome(tmp_path / name, layout, layout.content + b" " * 3000 + b"\n")
            assert isinstance(said, str) and "longer than 2000" in said, name


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(LAYOUTS)),
    start=st.floats(0, 1),
    length=st.integers(0, 60),
    put=st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [b"NaN", b"-1", b"null", b"[]", b"{}", b'"', b"\n", b"\0", b"1e999", b",,"]
        ),
    ),
)
def test_bytes_changed_anywhere_never_end_in_a_traceback(
    tmp_path_factory, name, start, length, put
):
    """Promise: whatever is cut out of a file of any layout and put in its place, it is read, or
    refused in one line that names a file."""
    layout = LAYOUTS[name]
    at = int(start * len(layout.content))
    content = layout.content[:at] + put + layout.content[at + length :]
    outcome(tmp_path_factory.mktemp("fuzz"), layout, content)
