"""After a kill, a mistake or a move: the same command goes on, and old results can be put back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil

RATE = ("set=stages.3.learning_rate=2e-3",)
EVERY_STEP = ("set=runtime.snapshot_every=1",)


def command(run, *words: str) -> subprocess.CompletedProcess[str]:
    """One of the project's own commands in the working directory."""
    return subprocess.run(
        [sys.executable, "-m", "cogment_pipe", *words],
        cwd=run.out,
        env=run.environment(PYTHONPATH=str(run.project), COGMENT_PROJECT=str(run.project)),
        capture_output=True,
        text=True,
    )


def wait_for(condition, seconds: float = 900.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_retrained_stage_can_be_put_back(run):
    """A mistyped learning rate does not cost the old stage: one command puts it back."""
    before = run.hashes("results/stage*/*")
    done = run.snakemake("results/stage3/", config=RATE)
    assert done.returncode == 0, done.stderr[-3000:]
    assert run.hashes("results/stage3/checkpoint.pt") != {}
    assert run.hashes("results/stage*/*") != before
    restored = command(run, "restore", "3")
    assert restored.returncode == 0, restored.stderr
    assert "put back" in restored.stdout
    assert run.hashes("results/stage*/*") == before
    assert run.planned() == set()


def test_results_without_snakemakes_records_can_be_adopted(run):
    """Unpacked without .snakemake, newest file first: one command, and nothing is to be done.

    Damage and another configuration are refused before; a later edit is noticed as ever.
    """
    shutil.rmtree(run.out / ".snakemake")
    for moment, path in enumerate(sorted(run.out.glob("results/**/*"), reverse=True)):
        os.utime(path, (1_700_000_000 + moment, 1_700_000_000 + moment))
    before = run.hashes()
    other = command(run, "adopt", "--scale", "tiny", "--set", "stages.3.learning_rate=2e-3")
    assert other.returncode == 2 and "stage 3" in other.stderr and "learning_rate" in other.stderr
    weights = run.out / "results/stage1/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged = command(run, "adopt", "--scale", "tiny")
    assert damaged.returncode == 2 and "results/stage1/model.safetensors" in damaged.stderr
    assert not (run.out / ".snakemake/metadata").exists()
    weights.write_bytes(whole)
    done = command(run, "adopt", "--scale", "tiny")
    assert done.returncode == 0, done.stderr
    assert "adopted: results/stage0" in done.stdout
    assert run.planned() == set()
    assert run.hashes() == before
    assert "Training stage 3" in run.planned(config=RATE)


def test_a_killed_call_leaves_no_lock(run):
    """SIGKILL to snakemake: the same command again needs no --unlock."""
    words = ("results/stage4/", "-R", "train_stage")
    call = subprocess.Popen(
        run.command(*words), cwd=run.base, env=run.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = run.out / "logs/train/stage0.log"
    log.unlink()
    wait_for(log.exists)
    os.killpg(call.pid, signal.SIGKILL)
    call.wait()
    locks = run.out / ".snakemake/locks"
    assert any(locks.iterdir())
    done = run.snakemake("results/stage4/")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "lock: released" in done.stderr


def test_a_living_call_keeps_its_lock(run):
    """A second call beside a living one is refused by Snakemake's lock, and deletes nothing."""
    words = ("results/stage4/", "-R", "train_stage")
    call = subprocess.Popen(
        run.command(*words), cwd=run.base, env=run.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        locks = run.out / ".snakemake/locks"
        wait_for(lambda: locks.is_dir() and any(locks.iterdir()))
        second = run.snakemake(*words)
        assert second.returncode != 0
        assert "LockException" in second.stderr
        assert "lock: released" not in second.stderr
    finally:
        os.killpg(call.pid, signal.SIGTERM)
        call.wait()


@contextlib.contextmanager
def training(run, stage: str, *words: str):
    """A call in the background whose trainer is held amid its stage: (call, trainer)."""
    call = subprocess.Popen(
        run.command(*words, config=EVERY_STEP), cwd=run.base, env=run.environment(),
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        folder = run.out / "results/.snapshots" / stage
        wait_for((folder / ".owner.json").exists)
        owner = json.loads((folder / ".owner.json").read_text())
        trainer = psutil.Process(owner["pid"])
        trainer.suspend()
        # On in small portions, so that a quick machine is not done before it is looked at.
        while not list(folder.glob("step-*.json")):
            trainer.resume()
            time.sleep(0.02)
            trainer.suspend()
        assert not (run.out / "results" / stage / "manifest.json").exists()
        yield call, trainer
    finally:
        if call.poll() is None:
            os.killpg(call.pid, signal.SIGKILL)
            call.wait()


def test_two_calls_at_once_leave_each_others_snapshots(run, finished):
    """Both train; one is killed, started again and succeeds: the other's snapshots stay.

    Then the other succeeds too, and what it trained has the bytes it has alone. The killed call's
    lock is released although the other call is alive.
    """
    here, beside = "stage2", "runs/seed1/stage0"
    of_others = "results/.snapshots/stage2/step-*"
    with training(run, here, "results/stage2/", "-f") as (first, trainer):
        held = run.hashes(of_others)
        with training(run, beside, f"results/{beside}/") as (second, _):
            snapshots = run.hashes(f"results/.snapshots/{beside}/step-*")
            os.killpg(second.pid, signal.SIGKILL)
            second.wait()
        assert run.hashes(of_others) == held != {}
        assert run.hashes(f"results/.snapshots/{beside}/step-*").items() >= snapshots.items() != {}
        # a call of another target whose plan knows of stage 2, and that ends well
        other = run.snakemake("results/eval/stage0/metrics.json", "-f")
        assert other.returncode == 0, other.stderr[-3000:]
        assert run.hashes(f"results/.snapshots/{beside}/step-*").items() >= snapshots.items()
        again = run.snakemake(f"results/{beside}/", config=EVERY_STEP)
        assert again.returncode == 0, again.stderr[-3000:]
        log = (run.out / "logs/runs/seed1/train/stage0.log").read_text()
        assert "RESUME stage 0 at step" in log
        assert run.hashes(of_others) == held
        trainer.resume()
        assert first.wait(timeout=3600) == 0
    pattern = "results/stage2/[!.]*"
    assert run.hashes(pattern) == finished.hashes(pattern) != {}
    assert run.hashes(of_others) == {}


def test_auto_unlock_can_be_switched_off(run):
    """With auto_unlock=false a stale lock is left to the user."""
    owners = run.out / ".snakemake/cogment/owners"
    owners.mkdir(parents=True, exist_ok=True)
    dead = {"host": os.uname().nodename, "boot": "another", "pid": 1, "start": "0"}
    (owners / "dead.json").write_text(json.dumps(dead))
    locks = run.out / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("results/stage4/checkpoint.pt\n")
    words = ("results/stage4/", "-f")
    assert "LockException" in run.snakemake(*words, config=("auto_unlock=false",)).stderr
    assert (locks / "0.output.lock").exists()


def test_two_runs_give_the_same_bits(finished, fresh):
    """Another folder, one core, another snapshot interval: every checkpoint's sha256 is equal."""
    config = ("set=runtime.snapshot_every=3;runtime.log_every=1",)
    done = fresh.snakemake("results/stage4/", cores="1", config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    pattern = "results/stage*/[!.]*"
    assert fresh.hashes(pattern) == finished.hashes(pattern)
    assert len(fresh.hashes("results/stage*/checkpoint.pt")) == 5


def test_a_call_that_ends_leaves_no_owner(finished):
    """Only calls that were killed leave a record; it would let a stranger's lock look stale."""
    assert list((finished.out / ".snakemake/cogment/owners").iterdir()) == []


def test_snapshots_go_when_the_call_has_succeeded(finished):
    """No mid-stage state is left behind after success, and nothing but results is in results."""
    left = [
        p for p in (finished.out / "results/.snapshots").rglob("*") if not p.name.startswith(".")
    ]
    assert [path for path in left if path.is_file()] == []
    assert (finished.out / "results/.scale").read_text() == "tiny\n"
    assert {path.name for path in finished.out.iterdir()} == {
        ".snakemake", "benchmarks", "logs", "results",
    }  # fmt: skip
