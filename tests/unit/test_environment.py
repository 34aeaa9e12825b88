"""Dependencies agree: pyproject, environment.yml, lock file, and what the code imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

import pytest
import yaml

IMPORT_NAMES = {"yaml": "pyyaml", "jinja2": "jinja2", "markupsafe": "jinja2"}
NAME = re.compile(r"[A-Za-z0-9._-]+")


@pytest.fixture(scope="module")
def pyproject(project):
    return tomllib.loads((project / "pyproject.toml").read_text())


def locked(path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if line)


@pytest.fixture(scope="module")
def pins(project):
    return locked(project / "requirements.lock")


def names(requirements) -> set[str]:
    return {NAME.match(line).group().lower() for line in requirements}


def test_conda_environment_has_the_same_names_and_bounds(project, pyproject):
    """environment.yml lists exactly pyproject's dependencies, with the same bounds."""
    content = yaml.safe_load((project / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)]
    assert sorted(pip) == sorted(pyproject["project"]["dependencies"])
    assert f"python{pyproject['project']['requires-python']}" in content["dependencies"]


def test_the_lock_pins_every_dependency(pyproject, pins):
    """Runtime and development dependencies are in the lock file, with plain pins."""
    wanted = pyproject["project"]["dependencies"]
    wanted = names(wanted) | names(pyproject["project"]["optional-dependencies"]["dev"])
    assert wanted <= set(pins)
    assert pins["torch"] == "2.13.0"
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins.values())


def test_cluster_extras_are_pinned(project, pyproject, pins):
    """The executors have pins too, in a lock file that adds to the first and repeats nothing."""
    extras = pyproject["project"]["optional-dependencies"]
    assert names(extras["cluster"]) <= set(pins)
    added = locked(project / "requirements-slurm.lock")
    assert names(extras["slurm"]) <= set(added)
    assert not set(added) & set(pins)


def test_the_environment_of_rules_is_the_lock(project):
    """`--sdm conda` installs the pins, from any working directory: it names no other file."""
    content = yaml.safe_load((project / "workflow/envs/cogment.yaml").read_text())
    (pip,) = [entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)]
    assert pip == (project / "requirements.lock").read_text().split()


def test_torch_stays_open_upwards(pyproject):
    """A newer torch is no conflict: only the lock file pins it."""
    (torch,) = [line for line in pyproject["project"]["dependencies"] if line.startswith("torch")]
    assert re.fullmatch(r"torch>=[\d.]+", torch)


def test_the_lock_satisfies_the_bounds(pyproject, pins):
    """No pin is below its lower bound in pyproject."""

    def parts(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)]

    for line in pyproject["project"]["dependencies"]:
        bound = re.search(r">=([\d.]+)", line).group(1)
        name = NAME.match(line).group().lower()
        assert parts(pins[name]) >= parts(bound), name


def test_every_import_is_declared(project, pyproject):
    """A third-party package that the code imports is a dependency, not a lucky guest."""
    declared = names(pyproject["project"]["dependencies"])
    for extra in ("parquet", "tensorboard"):
        declared |= names(pyproject["project"]["optional-dependencies"][extra])
    found = set()
    for path in (project / "cogment_pipe").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    third_party = found - set(sys.stdlib_module_names) - {"cogment_pipe", "__future__"}
    assert {IMPORT_NAMES.get(name, name.lower()) for name in third_party} <= declared


def test_the_version_is_said_once(project, pyproject):
    """The package's version is pyproject's."""
    text = (project / "cogment_pipe" / "__init__.py").read_text()
    assert f'__version__ = "{pyproject["project"]["version"]}"' in text
