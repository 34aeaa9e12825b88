"""Commands on results that are there already: verify, adopt, why, restore.

Arguments and handlers side by side; as everywhere, a handler imports what it needs when it runs.
"""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogment_pipe.commands import configuration, overrides, project_folder
from cogment_pipe.errors import CogmentError

if TYPE_CHECKING:
    from cogment_pipe.config import PipelineConfig

Command = Callable[..., ArgumentParser]
RESULTS = Path("results")


def add(subparsers: Any, command: Command, add_config: Callable[[ArgumentParser], None]) -> None:
    """Add all of them; `command` makes one, `add_config` adds the configuration's words."""
    parser = command(
        subparsers, "verify", verify, "Compute every hash of a results folder again.",
        "verify results",
    )  # fmt: skip
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    parser = command(
        subparsers, "adopt", adopt,
        "Verify results that came without .snakemake, and have Snakemake take them for its own.",
        "adopt --scale small",
    )  # fmt: skip
    add_config(parser)
    parser = command(
        subparsers, "why", why, "Say for each stage what makes it stale against its manifest.",
        "why --set 'stages.3.learning_rate=3e-4'",
    )  # fmt: skip
    add_config(parser)
    parser = command(
        subparsers, "restore", restore,
        "Put back the results of a stage from before its last run.", "restore 3 4",
    )  # fmt: skip
    parser.add_argument("stages", type=int, nargs="+", choices=range(5), metavar="STAGE")
    add_config(parser)


def verify(arguments: Namespace) -> int:
    """`verify`: 1 where a file does not match its manifest."""
    from cogment_pipe.staleness import verify_results

    places, problems = verify_results(arguments.results)
    if not places:
        raise CogmentError(f"{arguments.results}: no manifest in it; name a results folder")
    for problem in problems:
        print(problem)
    print(f"{len(places)} manifests, {len(problems)} problems")
    return int(bool(problems))


def adopt(arguments: Namespace) -> None:
    """`adopt`: records finished results as this project's, after every hash was compared."""
    from cogment_pipe.guard import keep_scale, kept_scale
    from cogment_pipe.staleness import adoptable, verify_results

    config = configuration(arguments, kept_scale())
    places, problems = verify_results(RESULTS)
    if problems:
        raise CogmentError(f"{problems[0]}; nothing was adopted ({len(problems)} problems in all)")
    targets = adoptable(config, RESULTS)
    _touch(arguments, config, ["--forceall"], targets)
    keep_scale(config.scale)
    print(f"{len(places)} manifests verified, adopted: {', '.join(map(str, targets))}")
    if any(path.name == "metrics.json" for path in targets):
        print("scores and report have no manifest: they were taken as they are")


def why(arguments: Namespace) -> int:
    """`why`: 1 where a stage is stale."""
    from cogment_pipe.guard import kept_scale
    from cogment_pipe.staleness import why_stale

    reasons = why_stale(configuration(arguments, kept_scale()))
    for stage, lines in reasons.items():
        print(f"stage {stage}: " + ("stale" if lines else "up to date"))
        for line in lines:
            print(f"  {line}")
    return int(any(reasons.values()))


def restore(arguments: Namespace) -> None:
    """`restore`: swaps stages with what results/.previous holds, and tells Snakemake."""
    from cogment_pipe.guard import PREVIOUS, kept_scale, restore_previous
    from cogment_pipe.staleness import refuse_stale

    config = configuration(arguments, kept_scale())
    for k in arguments.stages:
        refuse_stale(config, k, PREVIOUS / f"stage{k}")
    files = restore_previous(arguments.stages)
    _touch(arguments, config, ["--allowed-rules", "train_stage"], files)
    print(f"stage {', '.join(map(str, arguments.stages))}: put back from {PREVIOUS}")


def _touch(
    arguments: Namespace, config: PipelineConfig, words: list[str], targets: Iterable[Path]
) -> None:
    """Have Snakemake record files as made by the rules, with today's parameters."""
    # hooks guard runs: they would want corpora, and keep copies of what is not going to change
    words = ["--touch", "--no-hooks", "--cores", "1", *words, "--quiet", "all"]
    words += ["--snakefile", str(project_folder() / "Snakefile")]
    words += ["--config", *overrides(arguments, config)]
    if arguments.configfile:
        words += ["--configfile", str(arguments.configfile)]
    command = [sys.executable, "-m", "snakemake", *words, "--", *map(str, targets)]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise CogmentError("the files are there, but Snakemake could not take note (see above)")
