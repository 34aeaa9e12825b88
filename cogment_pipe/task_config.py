"""Items of one task of a stage: pydantic models, torch-free, and what all models here share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Generator = Literal[
    # Grids: stages 0 to 2; `grids` are the user's own.
    "linear_map",
    "toy_maze",
    "sequence",
    "arc",
    "arc_like",
    "sudoku",
    "maze",
    "listops",
    "grids",
    # Text: stages 3 and 4.
    "word_problem",
    "two_hop",
    "recall",
    "needle",
    "passage_retrieval",
    "passage_count",
]
AugmentationType = Literal[
    # Grids: mazes and ARC tasks; `symmetry` is all of Sudoku's too.
    "rotate_90",
    "rotate_180",
    "rotate_270",
    "flip_h",
    "flip_v",
    "dihedral",
    "symmetry",
    # ARC tasks alone.
    "permute_colours",
    "translate",
    # Sudoku.
    "relabel_digits",
    "permute_bands",
    # ListOps: both permute arguments, of which every operator takes any order.
    "shuffle_ops",
    "permute_vars",
    # Text: copies of training items, made with them.
    "rename_entities",
    "vary_numbers",
    "shuffle_passages",
    "shuffle_distractors",
]


class Strict(BaseModel):
    """Refuses unknown keys and keeps its values fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskConfig(Strict):
    """Items of one built-in task; `params` are checked by the generator's own model."""

    generator: Generator = Field(description="built-in task")
    weight: Positive = Field(1.0, description="share of the stage's steps")
    batch_size: int | None = Field(None, ge=1, description="in place of the stage's")
    refinement_steps: int | None = Field(None, ge=1, description="in place of the stage's")
    train: Count = Field(1000, description="training items")
    validation: Count = Field(200, description="validation items")
    test: Count = Field(500, description="test items")
    params: dict[str, bool | int | float | str | list[int] | list[str]] = Field(
        {}, description="the generator's own settings"
    )


class CorpusTask(Strict):
    """Items of one task read from a corpus that `corpora:` names."""

    corpus: str = Field(description="name under `corpora`")
    weight: Positive = Field(1.0, description="share of the stage's steps")
    batch_size: int | None = Field(None, ge=1, description="in place of the stage's")
    refinement_steps: int | None = Field(None, ge=1, description="in place of the stage's")
    train: int | None = Field(None, ge=1, description="at most so many; none: all")
    validation: int | None = Field(None, ge=1, description="at most so many; none: all")
    test: int | None = Field(None, ge=1, description="at most so many; none: all")
    params: dict[str, bool | int | float | str | list[int] | list[str]] = Field(
        {}, description="the reader's own settings"
    )
