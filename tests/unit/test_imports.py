"""The direction of imports, and what may never be imported to parse the workflow."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import cogment_pipe
from cogment_pipe.closure import PACKAGE, ROOT, CodeIndex, imported

MODULES = sorted(
    ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)
INDEX = CodeIndex()
TORCH_FREE = [
    "ablations",
    "derived_runs",
    "benchmark_config",
    "benchmarks.grokking.summary",
    "benchmarks.grokking.task",
    "benchmarks.throughput.plan",
    "benchmarks.throughput.start",
    "benchmarks.throughput.summary",
    "benchmarks.whole_run",
    "cli",
    "cli_use",
    "commands",
    "config",
    "curriculum",
    "data.corpus",
    "data.dataset",
    "data.own_puzzles",
    "data.prepare",
    "data.tokenizer",
    "evaluation_config",
    "fit_recipe",
    "guard",
    "slices",
    "events",
    "peer_config",
    "provenance",
    "puzzle_commands",
    "recovery_commands",
    "report.page",
    "run_record",
    "scoring",
    "snakemake_lock",
    "stage_config",
    "staleness",
    "workflow_hooks",
]
BESIDE = ["benchmarks", "benchmark_config", "ablations", "ablation_config", "derived_runs"]
# Modules (or whole packages) and what they must not reach, however indirectly.
NEVER = [
    ("model", ["data.prepare", "optim", "trainer", "evaluator", "config"]),
    ("data", ["model", "trainer", "evaluator", "optim"]),
    ("scoring", ["model", "data", "trainer", "evaluator", "config"]),
    (
        "trainer",
        [
            "config",
            "report",
            "evaluator",
            "cli",
            "workflow_hooks",
            "benchmarks",
            "benchmark_config",
        ],
    ),
    ("evaluator", ["config", *BESIDE]),
    ("benchmarks.grokking", ["config", "data", "model", "trainer", "evaluator", "optim"]),
    ("stage_config", ["config", "evaluation_config", "data", "model"]),
    ("report", ["model", "data", "trainer", "evaluator", "scoring", "benchmarks"]),
    ("config", ["data", "model", "trainer", "evaluator", "report", "benchmarks"]),
    ("provenance", ["config", "data", "model", "trainer", "report"]),
]


def members(name: str) -> list[str]:
    full = f"{PACKAGE}.{name}"
    return [module for module in MODULES if module == full or module.startswith(full + ".")]


def reached(name: str) -> set[str]:
    return set(INDEX.module_hashes(*(m for m in members(name) if m != PACKAGE)))


def test_the_walk_sees_the_package():
    """Guards the other tests of this file against an empty walk."""
    assert len(MODULES) > 40
    assert "cogment_pipe.trainer" in MODULES


@pytest.mark.parametrize(("name", "forbidden"), NEVER, ids=[name for name, _ in NEVER])
def test_imports_point_one_way(name, forbidden):
    """Nothing below reaches what lies above it, also not from inside a function."""
    above = {module for other in forbidden for module in members(other)}
    assert not reached(name) & above


def imports_torch(module: str) -> bool:
    return any(name.split(".")[0] == "torch" for name in imported(module))


@pytest.mark.parametrize("name", ["data", "scoring", "report", "config", "provenance"])
def test_torch_free_parts_never_reach_torch(name):
    """Data, metrics, report, configuration and provenance do without torch."""
    # rng imports torch inside torch_stream, which only training calls.
    found = [module for module in reached(name) if imports_torch(module)]
    assert set(found) <= {"cogment_pipe.rng"}


@pytest.mark.parametrize("name", TORCH_FREE)
def test_importing_these_loads_no_torch(name):
    """What the Snakefile, `--help` and the report import stays quick."""
    code = f"import sys, {PACKAGE}.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent).returncode == 0


def test_public_names_are_there():
    """Every name of the public API can be imported from the package, and only lazily."""
    code = f"import sys, {PACKAGE}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent).returncode == 0
    for name in cogment_pipe.__all__:
        assert getattr(cogment_pipe, name).__name__ == name
    with pytest.raises(AttributeError, match="Nonsense"):
        cogment_pipe.__getattr__("Nonsense")
    assert set(cogment_pipe.__all__) <= set(dir(cogment_pipe))


def test_lazy_names_are_known_to_type_checkers():
    """The names imported under TYPE_CHECKING are those that __getattr__ serves."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    names = {alias.name for node in guarded.body for alias in node.names}
    assert names == set(cogment_pipe.__all__)
