"""What holds for every mixture of images that may come as one study."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.domain.exam import Exam, geometry_difference, pair
from dicom_node.domain.instance import ImageKind, InstanceHeader
from tests.headers import NOON, header, uid

REPEATABLE = settings(deadline=None, max_examples=150, derandomize=True)
CEM = (ImageKind.LOW_ENERGY, ImageKind.RECOMBINED)
UIDS = tuple(uid("image", position) for position in range(9))
TIES = (None, uid("tie", 1), uid("tie", 2))
# Few names for everything that ties images together, so that they collide. The first choice of
# each is the plain one, to which a failing example shrinks.
CHOICES: dict[str, tuple[Any, ...]] = {
    "kind": (*CEM, *CEM, *CEM, *ImageKind),
    "name": ("R CC", "R CC", "L CC", "R MLO"),
    "exclusion": (None, None, None, None, "said_so"),
    "partial_view": ((), (), ("112180",)),
    "rows": (3328, 3328, 3328, 2294),
    "spacing_mm": ((0.07, 0.07), None, (0.0701, 0.0701), (0.1, 0.1)),
    "frame_of_reference_uid": TIES,
    "acquisition_uid": TIES,
    "irradiation_event_uids": ((), ("1.2.3",), ("1.2.3", "1.2.4")),
    "acquired_at": (None, NOON, NOON + 30, NOON + 300),
    "device": ("", "A", "B"),
    "source_sop_instance_uids": ((), (), *((one,) for one in UIDS), UIDS[:2]),
}
NUMBER_OF_IMAGES = math.prod(len(choices) for choices in CHOICES.values())


def _image(position: int, number: int) -> InstanceHeader:
    """The image that a number stands for: one digit for each choice."""
    values: dict[str, Any] = {}
    for field, choices in CHOICES.items():
        number, digit = divmod(number, len(choices))
        values[field] = choices[digit]
    text = "" if values["exclusion"] is None else "the test says so"
    return header(
        values.pop("kind"),
        values.pop("name"),
        sop_instance_uid=UIDS[position],
        exclusion_text=text,
        **values,
    )


def _images() -> st.SearchStrategy[list[InstanceHeader]]:
    """Any mixture of images of one study."""
    numbers = st.lists(st.integers(0, NUMBER_OF_IMAGES - 1), max_size=len(UIDS))
    return numbers.map(lambda listed: [_image(*one) for one in enumerate(listed)])


def _places(exam: Exam) -> Counter[str]:
    """How often each image stands somewhere in the exam."""
    used = [h.sop_instance_uid for v in exam.views for h in (v.low_energy, v.recombined)]
    return Counter(used + [excluded.sop_instance_uid for excluded in exam.excluded])


@REPEATABLE
@given(_images(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_matters(images: list[InstanceHeader], dice: Any) -> None:
    shuffled = list(images)
    dice.shuffle(shuffled)
    assert pair(shuffled) == pair(images)


@REPEATABLE
@given(_images())
def test_every_image_ends_in_one_pair_or_in_one_exclusion(images: list[InstanceHeader]) -> None:
    assert _places(pair(images)) == Counter(image.sop_instance_uid for image in images)


@REPEATABLE
@given(_images())
def test_the_same_image_twice_is_one_image(images: list[InstanceHeader]) -> None:
    assert pair([*images, *images[::2]]) == pair(images)


@REPEATABLE
@given(_images())
def test_every_exclusion_has_a_code_and_a_sentence(images: list[InstanceHeader]) -> None:
    for excluded in pair(images).excluded:
        assert excluded.code == excluded.code.lower()
        assert excluded.code.isidentifier()
        assert len(excluded.reason.split()) > 1


@REPEATABLE
@given(_images())
def test_both_images_of_a_pair_show_the_same_breast_from_the_same_side(
    images: list[InstanceHeader],
) -> None:
    for view in pair(images).views:
        first, second = view.low_energy, view.recombined
        assert (first.kind, second.kind) == CEM
        assert (first.laterality, first.view) == (view.laterality, view.view)
        assert (second.laterality, second.view) == (view.laterality, view.view)
        assert first.partial_view == second.partial_view
        assert geometry_difference(first, second) == ""
        assert view.evidence


@REPEATABLE
@given(_images())
def test_an_excluded_image_is_in_no_pair_and_keeps_its_own_reason(
    images: list[InstanceHeader],
) -> None:
    exam = pair(images)
    reasons = {excluded.sop_instance_uid: excluded.code for excluded in exam.excluded}
    for image in images:
        if image.exclusion is not None:
            assert reasons[image.sop_instance_uid] == image.exclusion


@REPEATABLE
@given(_images())
def test_a_view_is_analysed_once_for_each_part_of_the_breast(images: list[InstanceHeader]) -> None:
    keys = [(v.name, v.low_energy.partial_view) for v in pair(images).views]
    assert len(keys) == len(set(keys))


@REPEATABLE
@given(_images())
def test_what_happens_in_one_breast_changes_nothing_in_the_other(
    images: list[InstanceHeader],
) -> None:
    right = [image for image in images if image.laterality == "R"]
    alone = pair(right).views
    assert tuple(view for view in pair(images).views if view.laterality == "R") == alone


@REPEATABLE
@given(_images())
def test_an_excluded_image_more_changes_no_pair(images: list[InstanceHeader]) -> None:
    more = header(ImageKind.HIGH_ENERGY, "R CC")
    assert pair([*images, more]).views == pair(images).views


@REPEATABLE
@given(_images())
def test_a_plain_mammogram_is_low_energy_only_where_no_low_energy_image_is_left(
    images: list[InstanceHeader],
) -> None:
    kinds = {image.sop_instance_uid: image.kind for image in images}
    for view in pair(images).views:
        if kinds[view.low_energy.sop_instance_uid] is ImageKind.FFDM:
            assert view.weak
            assert view.low_energy.kind_weak
