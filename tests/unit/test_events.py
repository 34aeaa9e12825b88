"""TensorBoard events: optional, lazily imported, the same numbers as metrics.jsonl."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from types import ModuleType

import pytest

from cogment_pipe.events import MISSING, EventLog

TRAINING = {"event": "train", "step": 3, "task": "maze", "loss": 0.5, "memory_gate": None}
VALIDATION = {
    "event": "validation",
    "step": 4,
    "loss": float("inf"),
    "best": True,
    "tasks": {"maze": {"exact": 0.25}},
}


class Writer:
    """Stands in for SummaryWriter."""

    made: list[Writer] = []

    def __init__(self, log_dir: str, purge_step: int) -> None:
        self.log_dir, self.purge_step, self.closed = log_dir, purge_step, False
        self.scalars: list[tuple[str, float, int]] = []
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writer(monkeypatch) -> type[Writer]:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    Writer.made = []
    return Writer


def test_numbers_of_a_record_become_scalars(writer, tmp_path):
    """Named by event, task and key; None, infinities, flags and the step itself are left out."""
    events = EventLog(tmp_path / "stage0", 2)
    events.write([TRAINING, VALIDATION])
    events.close()
    (made,) = writer.made
    assert made.scalars == [("train/loss", 0.5, 3), ("validation/maze/exact", 0.25, 4)]
    assert (made.log_dir, made.purge_step, made.closed) == (str(tmp_path / "stage0"), 3, True)


def test_no_folder_no_events(writer):
    """The usual case imports nothing and writes nothing."""
    events = EventLog(None, 0)
    events.write([TRAINING])
    events.close()
    assert writer.made == []


def test_without_the_package_it_is_one_line(monkeypatch, tmp_path, caplog):
    """Asked for and not installed: training goes on, and one line says how to get it."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.WARNING):
        events = EventLog(tmp_path / "stage0", 0)
        events.write([TRAINING])
        events.close()
    assert caplog.messages == [MISSING]
    assert list(tmp_path.iterdir()) == []


def test_the_trainer_does_not_import_it():
    """Importing the trainer loads no TensorBoard, installed or not."""
    code = "import sys, cogment_pipe.trainer; sys.exit('tensorboard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="needs tensorboard")
def test_real_events_can_be_read_back(tmp_path):
    """With the package: a file that TensorBoard's own reader understands."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventLog(tmp_path, 0)
    events.write([TRAINING])
    events.close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    (scalar,) = reader.Scalars("train/loss")
    assert (scalar.step, scalar.value) == (3, 0.5)
