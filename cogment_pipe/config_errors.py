"""Turns a pydantic error into one line: key, value, what is allowed, the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
KINDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping (`key: value` lines)",
    "model_type": "a mapping (`key: value` lines)",
    "tuple_type": "a list",
    "list_type": "a list",
}
PARAMETER = "a number, text, true, false, or a list of whole numbers or of texts"


def one_line(error: ValidationError, model: type[BaseModel], prefix: str = "config: ") -> str:
    """The first problem of `error` as one line, and how many more there are."""
    problems = error.errors()
    # Unknown keys first: a typo also shows up as the missing right key.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    lines = list(dict.fromkeys(_line(problem, model) for problem in problems))
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return prefix + lines[0] + more


def unknown_key(path: str, key: Any, known: Iterable[Any]) -> str:
    """`path: unknown key; did you mean X?`, or the known keys where none is near."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
    return f"{path}: unknown key; {hint}"


def _line(problem: dict[str, Any], model: type[BaseModel]) -> str:
    loc, kind = problem["loc"], problem["type"]
    if "params" in loc and len(loc) > loc.index("params") + 2:
        path = ".".join(str(part) for part in loc[: loc.index("params") + 2])
        return f"{path}: {problem['input']!r} is not allowed; must be {PARAMETER}"
    path = ".".join(str(part) for part in loc)
    context, value = problem.get("ctx", {}), problem["input"]
    if kind == "extra_forbidden":
        return unknown_key(path, loc[-1], _fields_at(model, loc[:-1]))
    if kind == "missing":
        return f"{path}: missing"
    if kind == "literal_error":
        allowed = context["expected"].replace("'", "")
        near = difflib.get_close_matches(str(value), allowed.replace(" or ", ", ").split(", "), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{path}: {value!r} is not allowed; allowed: {allowed}{hint}"
    if kind in KINDS:
        return f"{path}: {value!r} is not allowed; must be {KINDS[kind]}"
    for bound, words in BOUNDS.items():
        if bound in context:
            return f"{path}: {value!r} is not allowed; must be {words} {context[bound]:g}"
    if kind == "value_error":
        return f"{path}: {context['error']}".removeprefix(": ")
    return f"{path}: {value!r} is not allowed; {problem['msg'].lower()}"


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model that `loc` leads to."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:  # a dict[...]: its value type
            here = get_args(here)[-1] if get_args(here) else None
        here = _model_in(here)
    return list(here.model_fields) if isinstance(here, type) else []


def _model_in(annotation: Any) -> Any:
    """The model inside `Model | None`; dicts and models are returned as they are."""
    options = [annotation, *get_args(annotation)]
    if getattr(annotation, "__origin__", None) is dict:
        return annotation
    models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    return models[0] if models else annotation
