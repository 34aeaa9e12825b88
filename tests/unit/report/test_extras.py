"""Optional results as tables: whatever their layout, every number of the file is shown."""

from __future__ import annotations

from cogment_pipe.report.extras import extra_sections


def test_rows_become_a_table() -> None:
    """A list of objects is a table with the union of their keys."""
    content = {"title": "T", "seeds": [0, 1], "rows": [{"a": 1}, {"a": 2, "b": [3, 4]}]}
    section = extra_sections({"ablations/x.json": content})[0]
    assert section.title == "T"
    assert section.facts == [("seeds", "0, 1")]
    assert section.tables[0].columns == ["a", "b"]
    assert section.tables[0].rows == [[1, None], [2, "3, 4"]]


def test_objects_become_a_table() -> None:
    """Objects of the same kind are rows, named by their key; a bare name takes the folder's."""
    content = {"arms": {"adamw": {"steps": 3}, "grokfast": {"steps": 1, "ratio": 3.0}}}
    section = extra_sections({"benchmarks/grokking/summary.json": content})[0]
    assert section.title == "grokking"
    assert section.tables[0].columns == ["", "steps", "ratio"]
    assert section.tables[0].rows == [["adamw", 3, None], ["grokfast", 1, 3.0]]


def test_nested_values() -> None:
    """Deeper values are not lost."""
    section = extra_sections({"x.json": {"a": {"b": {"c": {"d": 1}}}}})[0]
    assert section.facts == [("a b c", "d 1")]


def test_curves_become_panels() -> None:
    """A file with curves gets a drawing per row and no table of points."""
    content = {
        "rows": [{"arm": "A", "title": "adam", "median": "20"}],
        "curves": {"A": {"0": [[20, 0.5, 0.1], [40, 1.0, 0.96]]}},
    }
    section = extra_sections({"benchmarks/grokking/table.json": content})[0]
    assert section.title == "grokking"
    assert [panel.title for panel in section.panels] == ["A"]
    assert "<svg" in section.panels[0].svg and "threshold: 20" in section.panels[0].svg
    assert [table.columns for table in section.tables] == [["arm", "title", "median"]]
