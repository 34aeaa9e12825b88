"""What the Snakefile does besides rules: open the configuration, guard a run, clean up after it.

A refusal is one line on stderr and exit code 2. It leaves by SystemExit, since Snakemake prints
any other exception with its place in the Snakefile.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

from cogment_pipe import caller, corpora, guard, preflight, snakemake_lock
from cogment_pipe.closure import CodeIndex
from cogment_pipe.config import STAGES, PipelineConfig, cuda_visible, load_config
from cogment_pipe.errors import CogmentError
from cogment_pipe.run_record import write_run_record

# These open the JSON files that they name, never the weights beside them, and the page tells by
# itself what changed since it was recorded: it can be made after the checkpoints are gone.
JSON_ONLY = {"report", "figures"}


def in_one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: a CogmentError becomes one line on stderr and exit code 2."""

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CogmentError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None

    return guarded


def say(line: str) -> None:
    """Talk goes to stderr: stdout may be a DAG that someone pipes to `dot`."""
    print(line, file=sys.stderr)


@in_one_line
def open_run(project: Path, user: dict[str, Any], main: bool) -> PipelineConfig:
    """The configuration of this call; `main`: not a job of a call that has said all this."""
    _point_jobs_here(project)
    kept = guard.kept_scale()
    talk = say if main else (lambda line: None)
    config = load_config(project, Path.cwd(), dict(user), kept, talk)
    guard.refuse_other_scale(config.scale, kept)
    if main and snakemake_lock.take_ownership(release=config.auto_unlock):
        say("lock: released, every call that may have held it is dead")
    return config


def code_index() -> CodeIndex:
    """Hashes of the code, remembered between calls in this working directory."""
    # Absolute: Snakemake leaves the working directory before the interpreter ends.
    index = CodeIndex(store=Path(".snakemake/cogment/code.json").absolute())
    atexit.register(index.save)
    return index


@in_one_line
def before_run(project: Path, config: PipelineConfig, dag: Any, locks: Iterable[str]) -> None:
    """Runs in `onstart`: jobs are planned, nothing is deleted yet; `locks`: the lock's files."""
    snakemake_lock.note_locks(locks)
    jobs = list(dag.needrun_jobs())
    training = stages_of(jobs, "train_stage")
    reading = ("split_corpus", "prepare_data", "split_corpus_of_run", "prepare_data_of_run")
    for k in sorted({k for rule in reading for k in stages_of(jobs, rule)}):
        for name, source in config.stage_corpora(k).items():
            problem = corpora.problem(name, source, project)
            if problem:
                raise CogmentError(f"stage {k}: {problem}")
    automatic = config.scale_was_auto and not cuda_visible()
    guard.refuse_training_without_gpu(config.scale, automatic, config.runtime.device, training)
    inputs = [path for job in jobs if job.rule.name not in JSON_ONLY for path in job.input]
    json_files = [path for job in jobs if job.rule.name in JSON_ONLY for path in job.input]
    made = [path for job in jobs for path in job.output]
    guard.refuse_damaged(guard.read_by_run(inputs, made))
    guard.refuse_damaged(guard.read_by_run(json_files, made), only=json_files)
    preflight.check(config, training, project, say, gpu=cuda_visible())
    guard.keep_scale(config.scale)
    for k in guard.keep_previous(training):
        say(f"stage {k}: the old results are kept in results/.previous/stage{k}")
    write_run_record(project)


@in_one_line
def after_run(dag: Any) -> None:
    """Runs in `onsuccess`."""
    guard.remove_finished_snapshots(stages_of(dag.jobs, "train_stage"))
    derived = [job for job in dag.jobs if job.rule.name == "train_stage_of_run"]
    for run in sorted({job.wildcards.run for job in derived}):
        own = [job for job in derived if job.wildcards.run == run]
        guard.remove_finished_snapshots(stages_of(own, "train_stage_of_run"), Path("runs") / run)


def stages_of(jobs: Iterable[Any], rule: str) -> list[int]:
    """Stage numbers of those jobs that belong to `rule`."""
    found = {int(job.wildcards.k) for job in jobs if job.rule.name == rule}
    return [k for k in STAGES if k in found]


def _point_jobs_here(project: Path) -> None:
    """Jobs inherit this: they find this package and this interpreter from any working directory."""
    path = [str(project), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["COGMENT_PROJECT"] = str(project)
    caller.name_caller()
