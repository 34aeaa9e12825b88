"""docs/config.md and docs/config.schema.json are what the models say, and the models say it all."""

from __future__ import annotations

import json

import jsonschema
import pytest

from cogment_pipe import config_docs
from cogment_pipe.cli import main
from cogment_pipe.config_layers import normal, read_yaml

PAGES = [("docs", "config.md"), ("schema", "config.schema.json")]


def as_json(value):
    """YAML's whole-number keys as the texts that JSON has."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(config_docs.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(("page", "name"), PAGES, ids=[name for _, name in PAGES])
def test_the_pages_are_up_to_date(capsys, project, page, name):
    """`make docs` would change nothing."""
    assert main(["config", page]) == 0
    assert capsys.readouterr().out == (project / "docs" / name).read_text(encoding="utf-8")


def test_every_key_is_explained():
    """No key of the configuration, and none of a task's params, is without a word on it."""
    models = [*config_docs.task_models().values(), *(m for _, m in config_docs.models())]
    assert len(models) > 20
    for model in models:
        silent = [name for name, field in model.model_fields.items() if not field.description]
        assert not silent, f"{model.__qualname__}: {silent}"


def test_the_schema_accepts_the_configuration(project, validator):
    """config.yaml as it is written, its scales, and `set` beside them; the schema is found."""
    content = as_json(normal(read_yaml(project / "config.yaml")))
    assert list(validator.iter_errors({**content, "set": "model.d_model=64"})) == []
    first = (project / "config.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=docs/config.schema.json"


WRONG = [
    {"sed": 1},
    {"scale": "large"},
    {"stages": {"5": {}}},
    {"stages": {"3": {"learnig_rate": 1e-3}}},
    {"scales": {"small": {"scale": "tiny"}}},
    {"grokfast": "sometimes"},
    {"corpora": {"gsm8k": 3}},
]


@pytest.mark.parametrize("content", WRONG, ids=json.dumps)
def test_the_schema_refuses_what_a_run_would(validator, content):
    """An editor underlines a typo, a value out of range, a stage that there is not."""
    assert list(validator.iter_errors(content))
