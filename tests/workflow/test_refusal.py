"""Bad input and damaged results: one line, exit code not 0, nothing overwritten."""

from __future__ import annotations

import json
import subprocess

import pytest


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one error line of a refused call."""
    assert done.returncode != 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def flip(path, offset: int = -100) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def damage(path) -> None:
    """Another digit in the middle: JSON stays JSON of the same shape."""
    content = path.read_bytes()
    if path.suffix != ".json":
        return flip(path)
    place = max(i for i, byte in enumerate(content[: len(content) // 2]) if 48 <= byte <= 56)
    path.write_bytes(content[:place] + bytes([content[place] + 1]) + content[place + 1 :])


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        (
            "stages.3.learnig_rate=1",
            "stages.3.learnig_rate: unknown key; did you mean learning_rate?",
        ),
        ("stages.3.batch_size=-1", "stages.3.batch_size: -1 is not allowed; must be at least 1"),
    ],
)
def test_bad_configuration_stops_the_parse(run, assignment, words):
    """A misspelt key and a negative batch size end the call with their line, results untouched."""
    before = run.hashes()
    assert refused(run.snakemake(config=(f"set={assignment}",))) == f"error: config: {words}"
    assert run.hashes() == before


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("results/stage1/checkpoint.pt", "results/stage4/"),
        ("results/stage1/manifest.json", "results/report/index.html"),
        ("results/stage3/metrics.jsonl", "results/report/index.html"),
    ],
)
def test_a_damaged_input_is_refused_before_anything_is_deleted(run, name, target):
    """A flipped byte in what the run would read stops it, and every output is still there."""
    flip(run.out / name)
    before = run.hashes()
    line = refused(run.snakemake(target))
    assert name in line
    assert run.hashes() == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("results/data/stage2/manifest.json", ("results/stage4/",)),
        ("results/data/stage2/manifest.json", ("results/stage2/", "-f")),
        ("results/data/stage2/manifest.json", ("results/eval/stage1/metrics.json", "-f")),
        ("results/stage1/checkpoint.pt", ("results/eval/stage1/metrics.json", "-f")),
        ("results/data/tokenizer.json", ("results/eval/stage1/metrics.json", "-f")),
        ("results/data/tokenizer.json", ("results/stage4/",)),
        ("results/data/tokenizer.manifest.json", ("results/data/stage3/manifest.json", "-f")),
        ("results/data/corpus/stage3/manifest.json", ("results/data/stage3/manifest.json", "-f")),
    ],
)
def test_a_damaged_input_of_training_or_evaluation_is_refused(run, name, words):
    """Data manifests are sealed as stage manifests are; evaluation reads nothing unchecked."""
    damage(run.out / name)
    before = run.hashes()
    line = refused(run.snakemake(*words))
    assert name in line
    assert run.hashes() == before


def test_a_damaged_array_is_noticed(run):
    """Arrays are behind their manifest: a run that would train on a changed one stops."""
    array = sorted((run.out / "results/data/stage3").glob("*.npy"))[0]
    flip(array, -1)
    before = run.hashes()
    line = refused(run.snakemake("results/stage3/", "-f"))
    assert array.name in line
    assert run.hashes() == before


def test_a_damaged_stage_can_be_made_again(run):
    """The line's own advice works: forcing the damaged stage does not read it."""
    checkpoint = run.out / "results/stage1/checkpoint.pt"
    whole = checkpoint.read_bytes()
    flip(checkpoint)
    done = run.snakemake("results/stage1/", "-f")
    assert done.returncode == 0, done.stderr[-3000:]
    assert checkpoint.read_bytes() == whole


def test_results_of_another_scale_are_not_touched(run):
    """Another scale over existing results stops with a line that names both."""
    before = run.hashes()
    line = refused(run.snakemake(config=("scale=small",)))
    assert "tiny" in line and "small" in line
    assert run.hashes() == before


def test_the_scale_is_known_from_manifests_too(run):
    """Results that came without results/.scale are still protected."""
    (run.out / "results/.scale").unlink()
    assert "tiny" in refused(run.snakemake(config=("scale=small",)))


def test_a_full_run_is_not_trained_again_without_a_gpu(run):
    """`auto` over full results on a machine without CUDA: one line, nothing deleted."""
    (run.out / "results/.scale").write_text("full\n")
    before = run.hashes()
    line = refused(run.snakemake("results/stage0/", config=("scale=auto",)))
    assert "full" in line and "CUDA" in line
    assert run.hashes() == before


def test_a_missing_corpus_is_named_before_anything_is_deleted(run):
    """A corpus that is asked for and absent: where to get it, and outputs intact."""
    before = run.hashes()
    line = refused(run.snakemake(config=("set=corpora.gsm8k=no/such/folder",)))
    assert "no/such/folder" in line and "grade-school-math" in line
    assert run.hashes() == before
    line = refused(run.snakemake(config=("set=stages.3.source=corpora",)))
    assert "gsm8k" in line and "not configured" in line
    assert run.hashes() == before


def test_a_broken_line_of_a_corpus_is_named(run):
    """File and line number of broken JSON; trained stages stay."""
    folder = run.project / "gsm8k"
    folder.mkdir()
    good = json.dumps({"question": "One and one?", "answer": "1+1=2\n#### 2"})
    for name in ("train.jsonl", "test.jsonl"):
        (folder / name).write_text(f"{good}\n" * 2 + '{"question": \n')
    before = run.hashes("results/stage*/*")
    line = refused(run.snakemake(config=("set=corpora.gsm8k=gsm8k",)))
    assert "jsonl" in line and "3" in line
    assert run.hashes("results/stage*/*") == before


def test_full_is_refused_where_the_disk_is_too_small(bare, disk):
    """Before anything starts the call says what it needs and what there is, and stops."""
    bare.out.rmdir()
    bare.out.symlink_to(disk)
    done = bare.snakemake("results/stage0/", config=("scale=full",))
    line = refused(done)
    assert line.startswith("error: disk: training stages 0 needs about ")
    assert "GB are free; make room, or use another folder" in line
    assert "disk: about " in done.stderr and "corpora: 0 files" in done.stderr
    assert not list(disk.glob("results/*"))
