"""Modalities that say what they make (Modality Performed Procedure Step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import ModalityPerformedProcedureStep

from dicom_node.assemble import Assembler
from dicom_node.domain.identifiers import derive_uid
from tests.integration.door import Door, MakeDoor
from tests.modality import Modality, picture
from tests.web_browser import Browser

STEP = derive_uid("a step")
STUDY = str(picture().StudyInstanceUID)
IMAGES = [picture("R", "CC", recombined=recombined) for recombined in (False, True)]


def beginning(**changes: object) -> Dataset:
    """Attribute List of an N-CREATE."""
    ds = Dataset()
    scheduled = Dataset()
    scheduled.StudyInstanceUID = STUDY
    ds.ScheduledStepAttributesSequence = [scheduled]
    ds.PerformedProcedureStepStatus = "IN PROGRESS"
    ds.PerformedSeriesSequence = []
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def ending(status: str, *images: Dataset) -> Dataset:
    """Modification List of an N-SET."""
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    series = Dataset()
    series.ReferencedImageSequence = []
    for image in images:
        item = Dataset()
        item.ReferencedSOPClassUID = image.SOPClassUID
        item.ReferencedSOPInstanceUID = image.SOPInstanceUID
        series.ReferencedImageSequence.append(item)
    ds.PerformedSeriesSequence = [series]
    return ds


class Step:
    """One step of a modality on one association."""

    def __init__(self, assoc: Association) -> None:
        self._assoc = assoc

    def create(self, ds: Dataset, uid: str = STEP) -> int:
        status, _ = self._assoc.send_n_create(ds, ModalityPerformedProcedureStep, uid)
        return int(status.Status)

    def set(self, ds: Dataset, uid: str = STEP) -> Dataset:
        status, _ = self._assoc.send_n_set(ds, ModalityPerformedProcedureStep, uid)
        return status


@contextmanager
def a_step(door: Door) -> Iterator[Step]:
    with Modality(door.settings.port).calling() as assoc:
        yield Step(assoc)


def close_what_is_ready(door: Door) -> None:
    rule = door.hospital.settings.completeness.rule()
    Assembler(door.hospital.ledger, rule, lambda: None).tick()


def sheet(door: Door):
    return door.hospital.ledger.overview.sheet(STUDY, ())


def test_an_exam_is_whole_with_the_last_image_that_the_modality_names(make_door: MakeDoor) -> None:
    door = make_door()
    modality = Modality(door.settings.port)
    with a_step(door) as step:
        assert step.create(beginning()) == 0x0000
        modality.store(IMAGES[0])
        assert step.set(ending("COMPLETED", *IMAGES)).Status == 0x0000
    close_what_is_ready(door)
    assert sheet(door).line.state == "open"
    page = Browser(door.hospital).page(f"/study/{STUDY}").text
    assert "The modality is done: 2 images named, 1 of them not here." in page
    modality.store(IMAGES[1])
    close_what_is_ready(door)  # at once: without the four views, without a second of silence
    assert sheet(door).line.state == "queued"
    told = [(row["subject"], row["event"]) for row in sheet(door).events]
    assert ("procedure", "completed") in told
    closed = [row for row in sheet(door).events if row["event"] == "closed"]
    assert closed[0]["reason"] == "the modality says that no more images come"


def test_a_step_that_begins_before_its_study_is_known_by_the_study(make_door: MakeDoor) -> None:
    door = make_door()
    with a_step(door) as step:
        step.create(beginning())
        step.set(ending("COMPLETED", *IMAGES))
    Modality(door.settings.port).store(*IMAGES)
    close_what_is_ready(door)
    assert sheet(door).line.state == "queued"


def test_a_modality_that_ends_with_half_a_view_leaves_the_exam_held_at_once(
    make_door: MakeDoor,
) -> None:
    door = make_door()
    Modality(door.settings.port).store(IMAGES[1])
    with a_step(door) as step:
        step.create(beginning())
        step.set(ending("COMPLETED", IMAGES[1]))
    close_what_is_ready(door)
    assert sheet(door).line.state == "held"
    assert "the modality made no more: waiting for R CC: low-energy" in sheet(door).line.reason


def test_a_step_that_has_ended_is_changed_no_more(make_door: MakeDoor) -> None:
    door = make_door()
    with a_step(door) as step:
        step.create(beginning())
        assert step.set(ending("DISCONTINUED")).Status == 0x0000
        answer = step.set(ending("COMPLETED", *IMAGES))
    assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)


@pytest.mark.parametrize(
    ("do", "status"),
    [
        (lambda step: (step.create(beginning()) and None) or step.create(beginning()), 0x0111),
        (lambda step: step.create(beginning(PerformedProcedureStepStatus="COMPLETED")), 0x0106),
        (lambda step: step.create(beginning(ScheduledStepAttributesSequence=[])), 0x0120),
        (lambda step: step.set(ending("COMPLETED"), derive_uid("another")).Status, 0x0112),
        (lambda step: step.create(beginning()) or step.set(ending("LATER")).Status, 0x0106),
    ],
    ids=["twice", "begins at its end", "no study", "unknown", "no status"],
)
def test_what_is_no_step_is_refused_with_the_reason(
    make_door: MakeDoor, do: Callable[[Step], int], status: int
) -> None:
    with a_step(make_door()) as step:
        assert do(step) == status


def test_a_peer_without_the_service_may_not_say_it(make_door: MakeDoor) -> None:
    door = make_door(peers=[{"name": "m", "ae_title": "MODALITY", "services": ["store"]}])
    with Modality(door.settings.port).calling() as assoc:
        classes = {context.abstract_syntax for context in assoc.accepted_contexts}
    assert ModalityPerformedProcedureStep not in classes
