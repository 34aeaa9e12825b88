"""Which module makes or reads each task, and what the rest of the pipeline must know about it.

Loaded late and by name, so that a stage's data depend on the modules that it uses and on no others:
rules hash `prepare_modules` and `split_modules` beside the closure of `prepare` and `corpus`.
Nothing is imported here, not even numpy: planning a run reads this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PACKAGE = "cogment_pipe.data"


@dataclass(frozen=True)
class GridKind:
    """Where a grid task comes from."""

    module: str
    params: str = ""
    metric: str = "grid_exact"
    augmenter: str | None = None
    task: str = ""  # name in TASK_IDS, where it differs


GENERATORS = {
    "linear_map": GridKind("generators.linear_map", "LinearMapParams"),
    "sequence": GridKind("generators.sequence", "SequenceParams"),
    "toy_maze": GridKind("generators.maze", "ToyMazeParams", "maze", "dihedral"),
    "maze": GridKind("generators.maze", "MazeParams", "maze", "dihedral"),
    "sudoku": GridKind("generators.sudoku", "SudokuParams", "grid_exact", "sudoku"),
    "listops": GridKind("generators.listops", "ListOpsParams", "listops", "listops"),
}
FILES = {
    "sudoku_extreme": GridKind("loaders.sudoku_csv", "", "grid_exact", "sudoku", "sudoku"),
    "maze_hard": GridKind("loaders.maze_csv", "", "maze", "dihedral", "maze"),
    "listops": GridKind("loaders.listops_tsv", "", "listops", "listops"),
    "grids": GridKind("loaders.own_grids", "OwnGridParams"),
}
ARC = {
    "arc": GridKind("arc_prepare", "ArcParams", "arc"),
    "arc_like": GridKind("arc_prepare", "ArcLikeParams"),
}
# Generator -> (module, name of its TextGenerator).
TEXT = {
    "word_problem": ("generators.word_problem", "GENERATOR"),
    "two_hop": ("generators.two_hop", "GENERATOR"),
    "recall": ("generators.recall", "GENERATOR"),
    "needle": ("generators.needle", "GENERATOR"),
    "passage_retrieval": ("generators.passages", "RETRIEVAL"),
    "passage_count": ("generators.passages", "COUNT"),
}
TEXT_ARRAYS = "text_prepare"
TEXT_FILES = "loaders.real"


def stage_tasks(stage: dict) -> Iterator[tuple[str, dict]]:
    """The tasks that a stage trains on: built-in ones, or those on real files."""
    return iter(stage["corpora" if stage.get("source") == "corpora" else "tasks"].items())


def grid_kind(task: dict, corpora: dict) -> tuple[str, GridKind] | None:
    """Name and kind of a grid task (TaskConfig or CorpusTask as dict); None: it is text."""
    corpus = task.get("corpus")
    asked = task.get("generator") or corpus
    if corpus and (corpora.get(corpus) or {}).get("kind") == "grids":
        asked = "grids"
    files = FILES if corpus or asked == "grids" else {}
    for table in (ARC, files, {} if corpus else GENERATORS):
        if asked in table:
            return asked, table[asked]
    return None


def prepare_modules(slice: dict) -> list[str]:
    """Modules that the arrays of a stage are made with, besides those that `prepare` imports."""
    kinds = [grid_kind(task, slice["corpora"]) for _, task in stage_tasks(slice["stage"])]
    return _named({found[1].module if found else TEXT_ARRAYS for found in kinds})


def split_modules(slice: dict) -> list[str]:
    """The same of the split text of a stage; corpora without training items need generators."""
    stage = slice["stage"]
    found = {TEXT[t["generator"]][0] for t in stage["tasks"].values() if t["generator"] in TEXT}
    return _named(found | ({TEXT_FILES} if stage.get("source") == "corpora" else set()))


def _named(modules: set[str]) -> list[str]:
    return [f"{PACKAGE}.{module}" for module in sorted(modules)]
