"""Which roles a destination gets, and which go in the place of what it refuses."""

from __future__ import annotations

import pytest

from dicom_node.domain.outputs import SR_ROLES, Output, SrClass, SrPer, fallbacks_of, roles_of

EVERY = [(sr_class, sr_per) for sr_class in SrClass for sr_per in SrPer]


@pytest.mark.parametrize(("sr_class", "sr_per"), EVERY)
def test_every_chain_of_fallbacks_ends(sr_class: SrClass, sr_per: SrPer) -> None:
    def length(role: str) -> int:
        return 1 + max((length(one) for one in fallbacks_of(role, sr_class, sr_per)), default=0)

    for role in (*roles_of(Output, sr_class, sr_per), *SR_ROLES.values()):
        assert length(role) <= 5, role


@pytest.mark.parametrize(("sr_class", "sr_per"), EVERY)
def test_the_report_that_goes_in_place_is_the_destination_s_own(
    sr_class: SrClass, sr_per: SrPer
) -> None:
    def own(role: str) -> tuple[str, ...]:
        return fallbacks_of(role, sr_class, sr_per)

    report = SR_ROLES[sr_class, sr_per]
    assert own("seg") == ("sc", report)
    assert own("cad_sr") == own("key_objects") == own("sc") == (report,)
    assert own("gsps") == ("sc",)
    assert own("labelmap") == ("seg",)


def test_only_the_newer_report_has_an_older_one() -> None:
    assert [fallbacks_of(role, *EVERY[0]) for role in ("sr", "sr_image", "sr_2d")] == [
        ("sr_2d",), ("sr_image_2d",), (),
    ]  # fmt: skip
