"""The optimisation loop that both trainings share, boxed in time or in steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
Progress = Callable[[str], None]
CHECKPOINT_EVERY_S = 120.0
REPORT_EVERY = 25  # steps
LONGEST_GRADIENT = 5.0


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
    decay: float = 1e-4
    warm_up: float = 0.05
    average: float = 0.99
    seed: int = 0


def optimise(
    network: Network,
    loss_of: Callable[[Network, np.random.Generator], Tensor],
    schedule: Schedule,
    *,
    report: Progress,
    keep: Path | None = None,
) -> Network:
    """The running average of ``network`` over its training: steadier than its last step.

    ``loss_of(network, rng)`` draws a batch and gives its loss. ``keep`` receives the averaged state
    dict every two minutes, so that a run that is broken off is not lost.
    """
    rng = np.random.default_rng(schedule.seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.rate, weight_decay=schedule.decay
    )
    average = copy.deepcopy(network).eval()
    losses: list[float] = []
    start = time.monotonic()
    kept = done = 0.0
    while done < 1:
        _step(network, optimiser, loss := loss_of(network.train(), rng), _rate(done, schedule))
        losses.append(float(loss.detach()))
        step = len(losses)
        _average_into(average, network, min(schedule.average, step / (step + 10)))
        elapsed = time.monotonic() - start
        by_time = elapsed / (3600 * schedule.hours)
        done = by_time if schedule.steps is None else step / schedule.steps
        if step % REPORT_EVERY == 0:
            report(f"step {step}, {100 * done:.0f} %, loss {np.mean(losses[-REPORT_EVERY:]):.3f}")
        if keep is not None and (done >= 1 or elapsed - kept > CHECKPOINT_EVERY_S):
            kept = elapsed
            torch.save(average.state_dict(), keep)
    report(f"{len(losses)} steps, last loss {np.mean(losses[-REPORT_EVERY:]):.3f}")
    return average


def _step(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    """One step down ``loss``, no longer than a clipped gradient allows."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
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
