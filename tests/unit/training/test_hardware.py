"""Training in half precision, and by several processes that torch's launcher starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress
from torch import nn

from dicom_node.errors import ConfigurationError
from worker.training import progress as progress_room
from worker.training.hardware import Hardware, find_hardware
from worker.training.loop import Schedule, Watch, optimise
from worker.training.progress import bars

TOGETHER = """
import sys
import torch
from pathlib import Path
from torch import nn
from worker.training.hardware import find_hardware
from worker.training.loop import Schedule, Silent, optimise

hardware = find_hardware()
assert hardware.world == 2
torch.manual_seed(hardware.rank)  # processes begin apart
network = nn.Linear(3, 1)
seen = []

def loss_of(current, rng):
    x = torch.from_numpy(rng.normal(size=(8, 3))).float()
    seen.append(float(x[0, 0]))
    return ((current(x) - x.sum(1, keepdim=True)) ** 2).mean()

folder = Path(sys.argv[1])
kept = optimise(network, loss_of, Schedule(steps=150, rate=0.05, average=0.5), watch=Silent(),
                keep=folder / f"keep-{hardware.rank}.pt", hardware=hardware)
torch.save({"weight": kept.weight, "seen": torch.tensor(seen)}, folder / f"{hardware.rank}.pt")
"""


def test_two_processes_see_different_batches_and_end_with_the_same_weights(tmp_path: Path):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
        "--local-addr", "127.0.0.1", str(script), str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(one["weight"], two["weight"])
    torch.testing.assert_close(one["weight"], torch.ones(1, 3), atol=0.1, rtol=0)
    assert not torch.equal(one["seen"], two["seen"])
    assert [path.name for path in tmp_path.glob("keep-*")] == ["keep-0.pt"]


def test_half_precision_learns_too_and_gives_whole_weights():
    hardware = Hardware(torch.device("cpu"), half=True)
    torch.manual_seed(0)
    types = []

    def loss_of(current: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        x = torch.from_numpy(rng.normal(size=(16, 3))).float()
        (x,) = hardware.take(x)
        y = current(x)
        types.append(y.dtype)
        return ((y.float() - x.sum(1, keepdim=True)) ** 2).mean()

    schedule = Schedule(steps=120, rate=0.05, average=0.5)
    kept = optimise(nn.Linear(3, 1), loss_of, schedule, watch=Watch(), hardware=hardware)
    assert set(types) == {torch.bfloat16}
    assert kept.weight.dtype == torch.float32
    torch.testing.assert_close(kept.weight.detach(), torch.ones(1, 3), atol=0.1, rtol=0)


def test_alone_on_a_cpu_nothing_is_shared_or_copied():
    hardware = find_hardware()
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    tensor = torch.ones(2)
    assert hardware.leads
    assert hardware.take(tensor)[0] is tensor
    assert hardware.agreed(0.25) == 0.25


def test_losses_are_written_for_tensorboard(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watch = bars(Progress(disable=True), tmp_path)
    watch.say("network fold-0")
    for step in range(1, 4):
        watch.step(step / 4, 1 / step)
    events = EventAccumulator(str(tmp_path / "fold-0"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [250, 500, 750]
    assert [round(event.value, 3) for event in events.Scalars("loss")] == [1.0, 0.5, 0.333]


def test_tensorboard_that_is_not_there_says_what_to_install(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(progress_room, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"faps-node\[tensorboard\]"):
        bars(Progress(disable=True), tmp_path)
