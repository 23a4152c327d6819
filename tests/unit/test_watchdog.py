"""When an idle worker ends itself."""

from __future__ import annotations

from worker.watchdog import Watchdog


class Night:
    """A clock, and for how long the oldest exam has waited."""

    def __init__(self) -> None:
        self.now = self.waited = 0.0
        self.dog = Watchdog(120.0, lambda: self.waited, lambda: self.now)

    def bites_after(self, seconds: float, *, busy: bool = False) -> bool:
        self.now += seconds
        return self.dog.bites(busy=busy)


def test_an_idle_worker_ends_when_an_exam_has_waited_too_long() -> None:
    night = Night()
    night.waited = 500.0
    assert not night.bites_after(119)
    assert night.bites_after(1)


def test_a_busy_worker_goes_on_whatever_waits() -> None:
    night = Night()
    night.waited = 500.0
    assert not any(night.bites_after(100, busy=True) for _ in range(20))
    assert not night.bites_after(100)
    assert night.bites_after(20)


def test_an_idle_worker_goes_on_while_nothing_waits() -> None:
    night = Night()
    assert not any(night.bites_after(60) for _ in range(20))
    night.waited = 119.0
    assert not night.bites_after(60)
    night.waited = 180.0
    assert night.bites_after(61)
