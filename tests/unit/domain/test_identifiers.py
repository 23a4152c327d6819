"""Identifiers that the same input always yields again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dicom_node.domain.identifiers import derive_id, derive_uid, is_uid

# Separators and empty parts are what could make two lists look alike.
PARTS = st.lists(st.text(st.sampled_from("a1\x1e\x1f"), max_size=3), max_size=4)


@given(PARTS, PARTS)
def test_two_lists_of_parts_never_share_an_identifier(one: list[str], other: list[str]) -> None:
    if one != other and [one, other] not in ([[], [""]], [[""], []]):
        assert derive_uid(*one) != derive_uid(*other)
        assert derive_id(*one) != derive_id(*other)


@given(PARTS)
def test_a_derived_uid_is_legal_and_always_the_same(parts: list[str]) -> None:
    assert is_uid(derive_uid(*parts))
    assert derive_uid(*parts) == derive_uid(*parts)


def test_identities_given_once_stay_for_ever() -> None:
    assert derive_uid("a", "b") == "2.25.157924899096581489547476555762762159759"
    assert derive_id("job", "1.2.3", "1") == "f6fc8ce3-24b8-539e-b7d7-b55eb84fb64e"


@given(st.text(max_size=80))
def test_only_digits_and_dots_make_a_uid(text: str) -> None:
    if is_uid(text):
        assert set(text) <= set("0123456789.")
        assert len(text) <= 64
