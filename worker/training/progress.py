"""A training as bars in a terminal, a bar for each network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress, TaskID, TextColumn

from dicom_node.errors import ConfigurationError
from worker.training.loop import Watch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOSS = TextColumn("{task.fields[loss]}")


class _Bars(Watch):
    """Says lines above the bars; a line that begins a network begins its bar."""

    def __init__(self, progress: Progress, board: Path | None) -> None:
        self._progress = progress
        self._bar: TaskID | None = None
        self._board = board
        self._writer: SummaryWriter | None = None

    def say(self, text: str) -> None:
        if text.startswith(NETWORK):
            self._bar = self._progress.add_task(text, total=1.0, loss="")
            if self._board is not None:
                self._writer = _writer(self._board / text.removeprefix(NETWORK))
        else:
            self._progress.console.print(text, markup=False, highlight=False)

    def step(self, done: float, loss: float) -> None:
        if self._writer is not None:
            self._writer.add_scalar("loss", loss, round(1000 * done))
            self._writer.flush()
        if self._bar is not None:
            self._progress.update(self._bar, completed=done, loss=f"loss {loss:.3f}")


NETWORK = "network "


def bars(progress: Progress, board: Path | None = None) -> Watch:
    """Somebody who looks on at ``progress``, and writes losses for TensorBoard into ``board``.

    Raises
    ------
    ConfigurationError
        When TensorBoard is asked for and not installed.
    """
    if board is not None and find_spec("tensorboard") is None:
        raise ConfigurationError(
            "TensorBoard is not installed; install faps-node[tensorboard], or leave it out"
        )
    return _Bars(progress, board)


def _writer(folder: Path) -> SummaryWriter:
    """Losses by the thousandth of a run."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional package

    return SummaryWriter(str(folder))
