"""`predict`: a puzzle or a question in, the answer out; or a file of grids in, a file out.

What a piece of text is, the text itself says (`data.puzzle_text`); which symbols stand for its
characters, the model's folder says: fit.json is there where it was trained on own data.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cogment_pipe.data.arc_prepare import canvas_side
from cogment_pipe.data.arc_query import colours, read_task, show
from cogment_pipe.data.puzzle_text import decode, kind_of_text, parse_puzzle
from cogment_pipe.errors import CogmentError
from cogment_pipe.predict_files import solve_file
from cogment_pipe.predict_model import Model, Request, open_model
from cogment_pipe.puzzle_rules import solves
from cogment_pipe.puzzle_show import Picture, as_text, plain, short, write_png
from cogment_pipe.solution import Solution

log = logging.getLogger(__name__)

ARC_STAGE, ARC_CONTEXT = 1, 1024
QUESTIONS, QUESTION_STAGE = "questions", 3


def predict(request: Request) -> None:
    """Answer the request on stdout (and in files). Raises CogmentError, one line."""
    kind, content = (None, None) if request.item is None else read_item(request)
    model = open_model(request)
    if request.data is not None:
        solve_file(request, model, request.data)
    elif kind == "npz":
        solve_file(request, model, content)
    elif kind == "arc":
        solve_arc(request, model, content)
    elif kind == QUESTIONS:
        answer(request, model, content)
    else:
        solve_text(request, model, kind, content)


def read_item(request: Request) -> tuple[str, Any]:
    """(kind, content) of what was asked: npz, arc, questions, or a kind of `kind_of_text`."""
    text = request.item
    path = Path(text) if len(text) < 1000 and "\n" not in text else None
    if text == "-":
        text = sys.stdin.read()
    elif path is not None and path.suffix in (".json", ".npz"):
        if not path.is_file():
            raise CogmentError(f"{path}: no such file")
        return {".json": "arc", ".npz": "npz"}[path.suffix], path
    elif path is not None and path.is_file():
        text = _read(path)
    elif path is not None and text and path.is_dir():
        raise CogmentError(f"{path}: a folder; name a file, or give the puzzle itself")
    elif path is not None and path.suffix in (".txt", ".csv", ".jsonl"):
        raise CogmentError(f"{path}: no such file")
    if not text.strip():
        raise CogmentError("there is nothing to solve: the text is empty")
    if request.document is not None:
        return QUESTIONS, text
    return kind_of_text(text) or QUESTIONS, text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CogmentError(f"{path}: cannot be read as text ({error})") from None


# -- puzzles -----------------------------------------------------------------------------------


def solve_text(request: Request, model: Model, kind: str, text: str) -> None:
    """One puzzle from text."""
    if model.puzzle == "values":
        kind = "numbers"
        text = _numbers(text, model.grid)
    elif kind == "numbers" or (model.puzzle and model.puzzle != kind):
        has = model.puzzle or "Sudoku, mazes, ARC and questions"
        raise CogmentError(f"this model solves {has}, and the text is {kind}")
    alphabet = model.alphabet(kind)
    grid = parse_puzzle(text, kind, alphabet)
    found = model.solve(request, grid, kind)
    shown = "values" if kind == "numbers" else kind
    given = decode(grid, alphabet)
    steps = [decode(step, alphabet) for step in found.by_step]
    tell(request, shown, given, steps, found)


def _numbers(text: str, grid: tuple[int, int]) -> str:
    """One line of numbers, or of digits without blanks, as rows of the model's width."""
    words = text.split()
    if len(words) == 1:
        words = list(words[0])
    if not all(word.isdecimal() for word in words):
        raise CogmentError("this model solves grids of numbers, and the text holds something else")
    if len(text.strip().splitlines()) > 1 or len(words) != math.prod(grid):
        return text
    return "\n".join(" ".join(words[i : i + grid[1]]) for i in range(0, len(words), grid[1]))


def tell(
    request: Request, kind: str, given: list, steps: list[list[list[str]]], found: Solution
) -> None:
    """One answer: the grid on stdout, or JSON; the drawing where one is asked for."""
    titles = [f"step {number}" for number in range(1, len(steps) + 1)]
    pictures = [Picture(t, cells, given) for t, cells in zip(titles, steps, strict=True)]
    answer = Picture(f"after {len(steps)} steps", steps[-1], given)
    right = solves(kind, given, steps[-1])
    if request.json:
        said: dict[str, Any] = {"answer": plain(kind, steps[-1]), "steps": len(steps)}
        said["confidence"] = short(found.confidence)
        said["halted_at"] = int(found.halted_at)
        said |= {} if right is None else {"solves": right}
        if request.steps:
            said["by_step"] = [plain(kind, step) for step in steps]
        print(json.dumps(said, ensure_ascii=False))
    else:
        colour = sys.stdout.isatty()
        for picture in pictures if request.steps else [answer]:
            if request.steps:
                print(f"{picture.title}:")
            print(as_text(kind, picture, colour))
        rules = {True: "; keeps the rules", False: "; no solution: it breaks the rules"}
        talk = rules.get(right, "")
        log.info("%d refinement steps, confidence %.3f%s", len(steps), found.confidence, talk)
    if request.png is not None:
        start = Picture("question", given, given)
        write_png(request.png, kind, [start, *(pictures if request.steps else [answer])])


def solve_arc(request: Request, model: Model, file: Path) -> None:
    """Every test input of an ARC task."""
    record, queries = read_task(file)
    stage = model.solver.stages.get(ARC_STAGE)
    if model.puzzle or stage is None:
        raise CogmentError(f"this model has no stage {ARC_STAGE}, which learns ARC; name another")
    tasks = [*stage.corpora.values(), *stage.tasks.values()]
    params = next((task.params for task in tasks if "side" in task.params), {})
    side = canvas_side(params.get("side"), stage.sequence_length, "side")
    for query in queries:
        cells = int(params.get("context_cells", ARC_CONTEXT))
        canvas, context, places = show(record, query, side, cells)
        found = model.solve(
            request, canvas, "arc", context=context, context_position=places, stage=ARC_STAGE
        )
        steps = [_cells(colours(step)) for step in found.by_step]
        tell(request, "arc", _cells(query), steps, found)


def _cells(grid: np.ndarray | None) -> list[list[str]]:
    return [["?"]] if grid is None else [[str(int(cell)) for cell in row] for row in grid]


# -- questions ---------------------------------------------------------------------------------


def answer(request: Request, model: Model, question: str) -> None:
    """A question, with or without a document."""
    if model.puzzle not in (None, QUESTIONS):
        raise CogmentError(
            f"this model solves {model.puzzle} puzzles, and the text is none (a question?)"
        )
    if request.png is not None or max(request.rollouts, request.views) > 1:
        raise CogmentError("--png, --rollouts and --views are for puzzles; this is a question")
    document = None
    if request.document is not None:
        if not request.document.is_file():
            raise CogmentError(f"--document {request.document}: no such file")
        document = _read(request.document)
    if model.solver.stage < QUESTION_STAGE and model.puzzle is None:
        raise CogmentError(
            "the text is no puzzle (a Sudoku of 16, 36 or 81 cells, or a maze with S and G), so "
            f"it is a question, and this model was trained up to stage {model.solver.stage} only"
        )
    found = model.solver.answer(question, document, steps=request.refinement_steps)
    if request.json:
        said = {"answer": found.text, "steps": found.steps}
        print(json.dumps(said | {"confidence": short(found.confidence)}, ensure_ascii=False))
        return
    print(found.text)
    log.info("%d refinement steps, confidence %.3f", found.steps, found.confidence)
