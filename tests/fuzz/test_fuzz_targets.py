"""Damaged bytes in great number: nothing but the expected answers comes of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import found, seeds
from tests.fuzz.targets import TARGETS

EXAMPLES = 300


@st.composite
def damaged(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """A valid input after a few changes: bytes set, cut out, doubled, put in."""
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        size = draw(st.sampled_from([0, 1, 2, 4, 8, 16]))
        new = draw(st.one_of(st.binary(max_size=8), st.sampled_from(ODD)))
        content[at : at + size] = new
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


# Lengths and delimiters that readers trip over.
ODD = [
    b"\xff\xff\xff\xff", b"\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xfe\xff\xff\xff",
    b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"SQ\0\0\xff\xff\xff\xff",
    b"UN\0\0\xff\xff\xff\xff", b"\\", b"\0", b"\x1b$B",
]  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, as logs.configure has it
def test_nothing_unexpected_is_raised(name: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(damaged(seeds(name)), st.binary(max_size=400)))
    def fuzzed(data: bytes) -> None:
        TARGETS[name](data)

    fuzzed()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_was_once_found_is_mended(name: str) -> None:
    for data in [*seeds(name), *found(name)]:
        TARGETS[name](data)
