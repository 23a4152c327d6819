"""A training as bars in a terminal, a bar for each network."""

from __future__ import annotations

from rich.progress import Progress, TaskID, TextColumn

from worker.training.loop import Watch

LOSS = TextColumn("{task.fields[loss]}")


class _Bars(Watch):
    """Says lines above the bars; a line that begins a network begins its bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar: TaskID | None = None

    def say(self, text: str) -> None:
        if text.startswith(NETWORK):
            self._bar = self._progress.add_task(text, total=1.0, loss="")
        else:
            self._progress.console.print(text, markup=False, highlight=False)

    def step(self, done: float, loss: float) -> None:
        if self._bar is not None:
            self._progress.update(self._bar, completed=done, loss=f"loss {loss:.3f}")


NETWORK = "network "


def bars(progress: Progress) -> Watch:
    """Somebody who looks on at ``progress``."""
    return _Bars(progress)
