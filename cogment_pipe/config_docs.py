"""What config.yaml may hold, from the pydantic models: a page for people, a schema for editors.

Both are written to docs/ by `make docs`; a test holds that they are what the models say.
"""

from __future__ import annotations

import importlib
import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cogment_pipe.config import SCALES, STAGES, PipelineConfig
from cogment_pipe.corpora import CORPORA
from cogment_pipe.data import task_kinds
from cogment_pipe.stage_config import StageConfig

SHORT_FORMS = {"type": ["boolean", "string"], "enum": [True, False, "nominal", "on", "off"]}
OPENING = """\
# Configuration

Every key of `config.yaml`. This page is generated from the models that check the configuration
(`make docs`); change `cogment_pipe/config.py`, `stage_config.py`, `task_config.py`,
`evaluation_config.py` or `corpora.py`, not this page. The values of a run stand in `config.yaml`
itself; the defaults below hold for keys that it leaves out. Later layers win: `config.yaml`, its
scale (`scales.small` and so on, with the same keys), a `config.yaml` in the working directory,
`--configfile`, `--config`, `set`.

`set` reaches any key by its path: `--config set='stages.3.learning_rate=3e-4; model.d_model=256'`.
An unknown key or a value out of range stops with one line before anything runs. Editors that know
YAML schemas complete and check `config.yaml` by `docs/config.schema.json`, which its first line
names.
"""
BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


def reference() -> str:
    """The page in Markdown: one table for each model, in the order in which they are met."""
    parts = [OPENING]
    for path, model in models():
        parts += [f"## `{path}`\n" if path else "## Top level\n", _section(model)]
    parts.append("## `params` of the built-in tasks, and of own grids\n")
    for name, model in sorted(task_models().items()):
        parts += [f"### `{name}`\n", _section(model)]
    return "\n".join(parts)


def _section(model: type[BaseModel]) -> str:
    first = (model.__doc__ or "").strip().splitlines()[0]
    return f"{first}\n\n{_table(model)}"


def schema() -> str:
    """JSON schema (draft 2020-12) of config.yaml as it is written: partial, with scales and set."""
    full = PipelineConfig.model_json_schema()
    definitions = full.pop("$defs")
    for definition in definitions.values():
        # Layers are partial: what a file leaves out, an earlier layer has.
        definition.pop("required", None)
    layer = full["properties"]
    layer["scale"] = {**layer["scale"], "enum": ["auto", *SCALES]}
    stages = {str(k): {"$ref": "#/$defs/StageConfig"} for k in STAGES}
    layer["stages"] = _mapping(stages, layer["stages"]["description"])
    layer["grokfast"] = {"anyOf": [SHORT_FORMS, {"$ref": "#/$defs/GrokFastConfig"}]}
    source = {"anyOf": [{"type": ["null", "string"]}, {"$ref": "#/$defs/CorpusSource"}]}
    corpora = _mapping(dict.fromkeys(CORPORA, source), layer["corpora"]["description"])
    layer["corpora"] = {**corpora, "additionalProperties": source}
    own = {"$ref": "#/$defs/Layer"}
    definitions["Layer"] = _mapping({k: v for k, v in layer.items() if k != "scale"}, "a scale")
    scales = _mapping(dict.fromkeys(SCALES, own), "what each scale lays over the rest")
    setting = {"type": ["string", "array", "null"], "description": "stages.3.batch_size=4; ..."}
    top = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.yaml of Cogment Pipe",
        **_mapping({**layer, "scales": scales, "set": setting}, "every number of a run"),
        "$defs": _nullable(definitions),
    }
    return json.dumps(top, indent=1, sort_keys=True) + "\n"


def _mapping(properties: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": text,
        "properties": properties,
        "additionalProperties": False,
    }


def _nullable(definitions: dict[str, Any]) -> dict[str, Any]:
    """`null` over a task removes it from a lower layer."""
    for name in ("tasks", "corpora"):
        values = definitions["StageConfig"]["properties"][name]
        values["additionalProperties"] = {
            "anyOf": [values["additionalProperties"], {"type": "null"}]
        }
    return definitions


def models() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every model of the configuration with the path that leads to it; parents first."""
    waiting: list[tuple[str, type[BaseModel]]] = [("", PipelineConfig)]
    while waiting:
        path, model = waiting.pop(0)
        yield path, model
        below = []
        for name, field in model.model_fields.items():
            inner = _model_of(field.annotation)
            if inner is not None:
                step = ".K" if inner is StageConfig else ".NAME" if _is_map(field) else ""
                below.append((f"{path}.{name}{step}".lstrip("."), inner))
        waiting = below + waiting


def task_models() -> dict[str, type[BaseModel]]:
    """What checks the `params` of each kind of task, by the generator's name."""
    grids = {**task_kinds.GENERATORS, **task_kinds.ARC, "grids": task_kinds.FILES["grids"]}
    found = {name: _loaded(kind.module, kind.params) for name, kind in grids.items()}
    text = {name: _loaded(*place).params for name, place in task_kinds.TEXT.items()}
    return found | text


def _loaded(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"cogment_pipe.data.{module}"), name)


def _is_map(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation, however it is wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_of(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _table(model: type[BaseModel]) -> str:
    lines = ["| key | values | default | what |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        below = _model_of(field.annotation)
        values = "see below" if below else _values(field)
        cells = (f"`{name}`", values, _default(field, below), field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo, below: type[BaseModel] | None) -> str:
    if field.is_required():
        return "required"
    if below is not None:
        return ""
    return f"`{json.dumps(field.default)}`"


def _values(field: FieldInfo) -> str:
    """Type and bounds in words."""
    bounds = [*field.metadata, *_inner_metadata(field.annotation)]
    words = [
        form.format(getattr(entry, name))
        for entry in bounds
        for name, form in BOUNDS.items()
        if hasattr(entry, name)
    ]
    return ", ".join([_words(field.annotation), *words])


def _inner_metadata(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return [part for info in get_args(annotation)[1:] for part in getattr(info, "metadata", [])]
    return []


def _words(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(part) for part in parts)
    if origin is dict:
        return f"mapping to {_words(parts[1])}"
    if origin in (list, tuple):
        return f"list of {_words(parts[0])}s"
    if annotation is list:
        return "list"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    names |= {Any: "any value", type(None): "null"}
    return names.get(annotation, str(annotation))
