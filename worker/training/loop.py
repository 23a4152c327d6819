"""The optimisation loop that both trainings share, boxed in time or in steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from worker.training.hardware import Hardware, find_hardware

Network = TypeVar("Network", bound=nn.Module)
CHECKPOINT_EVERY_S = 120.0
REPORT_EVERY = 25  # steps
LONGEST_GRADIENT = 5.0
EARLY = 10  # steps over which the average forgets faster: it begins with random weights


class Watch:
    """Who looks on while networks are trained; this one prints what is said."""

    def say(self, text: str) -> None:
        """Take a line that matters once the run is over."""
        print(text)  # noqa: T201 - its purpose

    def step(self, done: float, loss: float) -> None:
        """Take the share of a network's run that is over, and the mean of its last losses."""


class Silent(Watch):
    """For processes whose words would come twice."""

    def say(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; ``steps`` None means until ``hours`` are over.

    Only a run of ``steps`` gives the same weights again: how many steps fit into an hour is not
    ours to say. ``average`` is the weight of the past in the averaged network, ``warm_up`` a share
    of the run.
    """

    hours: float = 0.25
    steps: int | None = None
    rate: float = 2e-3
    decay: float = 2e-2
    warm_up: float = 0.05
    average: float = 0.995
    seed: int = 0


@dataclass
class Run:
    """What a run that is broken off needs to go on: networks, optimiser, dice, time spent."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    rng: np.random.Generator
    losses: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    def save(self, path: Path) -> None:
        """Keep everything under ``path``; a half-written file never takes its place."""
        part = path.with_suffix(".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "rng": self.rng.bit_generator.state,
                "losses": self.losses,
                "elapsed_s": self.elapsed_s,
            },
            part,
        )
        part.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what ``save`` kept."""
        device = next(self.network.parameters()).device
        kept: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        self.network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.rng.bit_generator.state = kept["rng"]
        self.losses = kept["losses"]
        self.elapsed_s = kept["elapsed_s"]


def optimise(
    network: Network,
    loss_of: Callable[[Network, np.random.Generator], Tensor],
    schedule: Schedule,
    *,
    watch: Watch,
    keep: Path | None = None,
    hardware: Hardware | None = None,
) -> Network:
    """The running average of ``network`` over its training: steadier than its last step.

    ``loss_of(network, rng)`` draws a batch and gives its loss. ``keep`` receives the state of the
    run every two minutes and at its end; a run whose ``keep`` is there goes on from it.
    ``hardware`` None: whatever is found. The average comes back on the CPU.
    """
    hardware = hardware or find_hardware()
    network.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
    hardware.begin_alike(network)
    average = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.rate, weight_decay=schedule.decay
    )
    # Processes that train together draw different batches.
    rng = np.random.default_rng([schedule.seed, hardware.rank] if hardware.rank else schedule.seed)
    run = Run(network, average, optimiser, rng)
    if keep is not None and keep.exists():
        run.restore(keep)
        watch.say(f"goes on from step {len(run.losses)}")
    with _sound_kernels(hardware):
        _steps(run, loss_of, schedule, watch=watch, keep=keep, hardware=hardware)
    if keep is not None and hardware.leads:
        run.save(keep)
    watch.say(f"{len(run.losses)} steps, last loss {recent(run.losses):.3f}")
    return average.cpu()


def _steps(
    run: Run,
    loss_of: Callable[[Any, np.random.Generator], Tensor],
    schedule: Schedule,
    *,
    watch: Watch,
    keep: Path | None,
    hardware: Hardware,
) -> None:
    """Steps until the schedule is over."""
    network, kept = run.network, run.elapsed_s
    start = time.monotonic() - run.elapsed_s
    while (done := hardware.agreed(_done(run, schedule))) < 1:
        with hardware.precision():
            loss = loss_of(network.train(), run.rng)
        _step(network, run.optimiser, loss, _rate(done, schedule), hardware)
        run.losses.append(float(loss.detach()))
        step = len(run.losses)
        _average_into(run.average, network, min(schedule.average, step / (step + EARLY)))
        run.elapsed_s = time.monotonic() - start
        if step % REPORT_EVERY == 0:
            watch.step(done, recent(run.losses))
        if keep is not None and hardware.leads and run.elapsed_s - kept > CHECKPOINT_EVERY_S:
            kept = run.elapsed_s
            run.save(keep)


@contextmanager
def _sound_kernels(hardware: Hardware) -> Iterator[None]:
    """Without oneDNN on a single CPU thread: torch 2.13 then writes beyond its buffers in backward.

    Seen with images in channels-last order, as "double free or corruption"; with two threads or
    torch's own kernels it does not happen.
    """
    before = torch.backends.mkldnn.enabled
    alone = hardware.device.type == "cpu" and torch.get_num_threads() == 1
    torch.backends.mkldnn.enabled = before and not alone  # type: ignore[assignment]  # torch declares the class of the property
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def recent(losses: list[float]) -> float:
    """Mean of the last losses."""
    return float(np.mean(losses[-REPORT_EVERY:])) if losses else float("nan")


def _done(run: Run, schedule: Schedule) -> float:
    """Share of the run that is over."""
    if schedule.steps is not None:
        return len(run.losses) / schedule.steps
    return run.elapsed_s / (3600 * schedule.hours)


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Tensor,
    rate: float,
    hardware: Hardware,
) -> None:
    """One step down ``loss``, no longer than a clipped gradient allows."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    hardware.share_gradients(network)
    nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()


def _average_into(average: nn.Module, network: nn.Module, past: float) -> None:
    """Move ``average`` towards ``network``: parameters and BN statistics alike."""
    states = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    with torch.no_grad():
        for mean, value in states:
            if mean.is_floating_point():
                mean.lerp_(value, 1 - past)
            else:
                mean.copy_(value)


def _rate(done: float, schedule: Schedule) -> float:
    """Learning rate over the run: linear rise, cosine fall."""
    if done < schedule.warm_up:
        return schedule.rate * max(done / schedule.warm_up, 0.02)
    fall = min((done - schedule.warm_up) / (1 - schedule.warm_up), 1.0)
    return schedule.rate * (float(0.5 * (1 + np.cos(np.pi * fall))) + 0.002)
