"""A destination that is down is asked at once, then once a minute, and believed when it answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain.reach import OPEN_AFTER, PROBE_MAX_S, Reach, answered, unreached


def after(failures: int, spread: float = 0.5, step_s: float = 1.0) -> Reach:
    reach = Reach()
    for number in range(failures):
        reach = unreached(reach, number * step_s, "refused", spread)
    return reach


@given(st.integers(1, 500), st.floats(0, 1))
def test_a_destination_is_probed_at_least_every_75_seconds(failures: int, spread: float) -> None:
    reach = after(failures, spread)
    assert reach.down == (failures >= OPEN_AFTER)
    assert reach.down_since == 0.0
    if reach.probe_at is not None:
        assert 0 < reach.probe_at - (failures - 1) <= PROBE_MAX_S * 1.25


def test_the_first_probe_comes_soon_and_the_next_ones_later() -> None:
    waits = [(after(n).probe_at or 0.0) - (n - 1) for n in range(OPEN_AFTER, OPEN_AFTER + 6)]
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_one_failure_after_a_probe_that_was_answered_opens_it_again() -> None:
    reach = answered(after(10))
    assert not reach.down
    again = unreached(reach, 100.0, "hung up", 0.5)
    assert again.down
    assert again.probe_at == 160.0, "it is asked no more often for having echoed"
