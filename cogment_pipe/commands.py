"""The handlers of the command line: from parsed arguments to the part that does the work.

Each imports what it needs when it runs, so that `--help` and a wrong argument answer at once.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogment_pipe import command_checks as checks
from cogment_pipe.errors import CogmentError

if TYPE_CHECKING:
    from cogment_pipe.config import PipelineConfig

TEXT_STAGES = (3, 4)
DATA_NEEDS = ("seed", "scale", "stage", "corpora")
ARC_GENERATORS = ("arc", "arc_like")
ARC_CONTEXT = 1024  # demonstration cells of an item where its task names no other number


def data_split(arguments: Namespace) -> None:
    """`data split`: JSONL per task and split, with the corpora's sources."""
    from cogment_pipe.corpora import absolute
    from cogment_pipe.data.corpus import split_corpus
    from cogment_pipe.slices import CORPUS_KEYS

    checks.need_keys(
        arguments.slice, [*DATA_NEEDS, *(f"stage.{key}" for key in sorted(CORPUS_KEYS))]
    )
    checks.is_folder(arguments.out)
    split_corpus(arguments.stage, absolute(arguments.slice, project_folder()), arguments.out)


def data_tokenizer(arguments: Namespace) -> None:
    """`data tokenizer`: the BPE, from training splits only."""
    from cogment_pipe.data.tokenizer import train_tokenizer

    checks.need_keys(arguments.slice, ("seed", "vocab_size"))
    train_tokenizer(arguments.slice, arguments.corpus, arguments.out)


def data_prepare(arguments: Namespace) -> None:
    """`data prepare`: the arrays of a stage."""
    from cogment_pipe.corpora import absolute
    from cogment_pipe.data.prepare import prepare_stage
    from cogment_pipe.slices import DATA_KEYS

    needs = [*DATA_NEEDS, "vocab_size", *(f"stage.{key}" for key in sorted(DATA_KEYS))]
    checks.need_keys(arguments.slice, needs)
    checks.is_folder(arguments.out)
    text = arguments.stage in TEXT_STAGES
    if text and (arguments.corpus is None or arguments.tokenizer is None):
        raise CogmentError(f"stage {arguments.stage} has text: give --corpus and --tokenizer")
    prepare_stage(
        arguments.stage,
        absolute(arguments.slice, project_folder()),
        arguments.out,
        corpus=arguments.corpus,
        tokenizer=arguments.tokenizer,
    )


def data_leaks(arguments: Namespace) -> None:
    """`data leaks`: what one task learns from and another one tests."""
    from cogment_pipe.data.cross_leaks import check_leaks

    check_leaks(arguments.data, arguments.corpus, arguments.out)


def data_draw(arguments: Namespace) -> None:
    """`data draw`: a few items of each task of a prepared stage."""
    from cogment_pipe.data.pictures import draw_stage

    draw_stage(arguments.data, arguments.out)


def data_check(arguments: Namespace) -> None:
    """`data check`: what a file or folder is."""
    from cogment_pipe.data.check import check_path

    print(check_path(arguments.path))


def train(arguments: Namespace) -> int:
    """`train`: one stage; 75 where a signal ended it after a snapshot."""
    from cogment_pipe.stage_config import StageSlice

    StageSlice.model_validate(arguments.slice)
    found = checks.stages_of(arguments.data)
    if arguments.stage not in found:
        raise CogmentError(f"--data: none of stage {arguments.stage}, only of {sorted(found)}")
    checks.is_folder(arguments.out)
    checks.is_folder(arguments.snapshots, "--snapshots")
    from cogment_pipe.gpu_lease import leased

    with leased(arguments.device, arguments.devices):
        return _train(arguments)


def _train(arguments: Namespace) -> int:
    if arguments.devices > 1 and "RANK" not in os.environ:
        from cogment_pipe.launch import launch

        return launch(arguments.devices, sys.argv[1:])
    from cogment_pipe.trainer import train_stage

    return train_stage(
        stage=arguments.stage,
        slice=arguments.slice,
        source=arguments.source,
        data=arguments.data,
        init=arguments.init,
        out=arguments.out,
        snapshots=arguments.snapshots,
        snapshot_every=arguments.snapshot_every,
        device=arguments.device,
        log_every=arguments.log_every,
        on_environment_change=arguments.on_environment_change,
        events=arguments.events,
    )


def evaluate(arguments: Namespace) -> int:
    """`evaluate`: one checkpoint on the test sets that are given."""
    from cogment_pipe.evaluation_config import EvaluationSlice

    known = EvaluationSlice.model_validate(arguments.slice).homes
    unknown = sorted(set(checks.stages_of(arguments.data)) - set(known))
    if unknown:
        raise CogmentError(f"--slice: says nothing of stages {unknown}, which --data has")
    checks.is_folder(arguments.out)
    from cogment_pipe.evaluator import evaluate_stage
    from cogment_pipe.gpu_lease import leased

    with leased(arguments.device):
        return evaluate_stage(
            stage=arguments.stage,
            slice=arguments.slice,
            checkpoint=arguments.checkpoint,
            data=arguments.data,
            out=arguments.out,
            device=arguments.device,
        )


def report(arguments: Namespace) -> None:
    """`report`: the page."""
    from cogment_pipe.config import ReportSlice

    ReportSlice.model_validate(arguments.slice)
    checks.is_folder(arguments.out)
    from cogment_pipe.report.page import build_report

    build_report(results=arguments.results, slice=arguments.slice, out=arguments.out)


def inspect(arguments: Namespace) -> None:
    """`inspect`: what the model of a scale is made of and what it costs."""
    from cogment_pipe.guard import kept_scale
    from cogment_pipe.model.budget import Workload, describe

    config = configuration(arguments, kept_scale())
    stages = []
    for k, stage in config.stages.items():
        text = k in TEXT_STAGES
        length = stage.segment_length or stage.sequence_length
        arc = [t.params for t in stage.tasks.values() if t.generator in ARC_GENERATORS]
        context = max((int(p.get("context_cells", ARC_CONTEXT)) for p in arc), default=0)
        work = Workload(length, text, context)
        stages.append((f"{k} {stage.name}", work, stage.max_refinement_steps, stage.memory.read))
    print("\n".join(describe(config.scale, config.model, stages)))


def project_folder() -> Path:
    """The folder of config.yaml and Snakefile."""
    return Path(os.environ.get("COGMENT_PROJECT") or Path(__file__).resolve().parents[1])


def configuration(arguments: Namespace, kept: str | None) -> PipelineConfig:
    """The configuration that `snakemake` would have with the same words."""
    from cogment_pipe.config import load_config
    from cogment_pipe.config_layers import read_yaml

    user: dict[str, Any] = read_yaml(arguments.configfile) if arguments.configfile else {}
    for key in ("scale", "seed"):
        if getattr(arguments, key) is not None:
            user[key] = getattr(arguments, key)
    if arguments.set:
        user["set"] = arguments.set
    return load_config(project_folder(), Path.cwd(), user, kept)


def overrides(arguments: Namespace, config: PipelineConfig) -> list[str]:
    """Words for `snakemake --config` that give the same configuration."""
    chosen = [f"scale={config.scale}", f"seed={config.seed}"]
    return chosen + ([f"set={';'.join(arguments.set)}"] if arguments.set else [])


def benchmark_data(arguments: Namespace) -> None:
    """`benchmark data`: rates of generators, augmentation and batches."""
    from cogment_pipe.data_throughput import measure

    measure(
        arguments.data, arguments.slice, arguments.made_by, steps=arguments.steps, out=arguments.out
    )


def benchmark_grokking_run(arguments: Namespace) -> None:
    """`benchmark grokking run`: one arm at one seed."""
    from cogment_pipe.benchmarks.grokking.run import run_arm

    run_arm(arguments.arm, arguments.seed, arguments.slice, arguments.source, arguments.out)


def benchmark_grokking_summarise(arguments: Namespace) -> None:
    """`benchmark grokking summarise`: table and figure from finished runs."""
    from cogment_pipe.benchmarks.grokking.summary import write_summary
    from cogment_pipe.report.grokking import markdown

    checks.need_keys(arguments.slice, ["references"])
    print(markdown(write_summary(arguments.runs, arguments.slice, arguments.out)))


def benchmark_throughput(arguments: Namespace) -> None:
    """`benchmark throughput cell|sweep|start`: one part of the benchmark of speed."""
    if arguments.part == "start":
        from cogment_pipe.benchmarks.throughput.start import measure_start

        keys = ("start_repeats", "pipeline_repeats", "pipeline_stages")
        checks.need_keys(arguments.slice, keys)
        measure_start(project_folder(), arguments.slice, arguments.out)
        return
    from cogment_pipe.benchmark_config import ThroughputSlice

    ThroughputSlice.model_validate(arguments.slice)
    if arguments.part == "cell":
        from cogment_pipe.benchmarks.throughput.measure import measure_cell as measure
    else:
        from cogment_pipe.benchmarks.throughput.sweep import measure_sweep as measure
    measure(arguments.slice, arguments.out, arguments.device)


def benchmark_throughput_summarise(arguments: Namespace) -> None:
    """`benchmark throughput summarise`: the table."""
    from cogment_pipe.benchmarks.throughput.summary import write_summary
    from cogment_pipe.report.throughput import markdown

    print(markdown(write_summary(arguments.runs, arguments.out)))


def benchmark_generation(arguments: Namespace) -> None:
    """`benchmark generation`: how much the cache saves."""
    from cogment_pipe.benchmark_config import GenerationSlice
    from cogment_pipe.benchmarks.generation import measure

    given = GenerationSlice.model_validate(arguments.slice)
    measure(given, arguments.source, arguments.device, arguments.out)


def benchmark_filter(arguments: Namespace) -> None:
    """`benchmark filter`: what GrokFast's filter costs."""
    from cogment_pipe.benchmark_config import FilterSlice
    from cogment_pipe.benchmarks.filter_cost import measure

    measure(FilterSlice.model_validate(arguments.slice), arguments.source, arguments.out)


def benchmark_run(arguments: Namespace) -> None:
    """`benchmark run`: how long a whole run takes."""
    from cogment_pipe.benchmarks.whole_run import measure

    checks.need_keys(arguments.slice, ("scale", "seed", "cores"))
    given = arguments.slice, arguments.source, arguments.work, arguments.out
    for row in measure(project_folder(), *given)["rows"]:
        print(f"{row['wall_seconds']} s, of them {row['outside_share']:.1%} around the commands")


def runs_compare(arguments: Namespace) -> None:
    """`runs compare`: the table of the ablations."""
    from cogment_pipe.ablations import markdown, write_comparison

    print(markdown(write_comparison(arguments.slice, arguments.out)))


def runs_seed(arguments: Namespace) -> None:
    """`runs seed`: the scores of one seed's run."""
    from cogment_pipe.ablations import write_seed_scores

    for stage, score in write_seed_scores(arguments.scores, arguments.out)["stages"].items():
        print(f"{stage}: {score:.3f}")
