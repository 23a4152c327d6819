"""Errors that know their code, their answer on the wire, and whether to try again."""

from __future__ import annotations

import inspect
import re

import pytest

from dicom_node import errors
from dicom_node.errors import FapsNodeError, IngestError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, FapsNodeError)
]


def test_every_error_has_a_code_of_its_own_that_fits_the_ledger() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z_]{1,40}", code) for code in codes)


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        (errors.OutOfResources, 0xA7),
        (errors.IdentityMismatch, 0xA9),
        (errors.CannotUnderstand, 0xC0),
    ],
)
def test_the_answer_on_the_wire_is_of_the_standards_family(
    kind: type[IngestError], family: int
) -> None:
    assert kind.dimse_status >> 8 == family


def test_a_sender_is_asked_to_try_again_only_where_that_may_help() -> None:
    for kind in KINDS:
        if issubclass(kind, IngestError):
            assert kind.retry == (kind.dimse_status >> 8 == 0xA7)


def test_a_lost_lease_is_never_tried_again() -> None:
    assert not errors.LeaseLost.retry
    assert errors.LedgerError.retry


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = set(re.findall(r"^[│ ├└─]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)) - {"Errors"}
    assert drawn == {kind.__name__ for kind in KINDS}
    order = re.findall(r"^([│ ├└─]*)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    depth = {name: len(indent) // 4 for indent, name in order}
    for kind in KINDS:
        if kind is not FapsNodeError:
            (base,) = kind.__bases__
            assert depth[kind.__name__] == depth[base.__name__] + 1
