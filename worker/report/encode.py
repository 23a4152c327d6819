"""Everything that an analysis sends out, as bytes made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pydicom.dataset import Dataset

from dicom_node.domain.dicom_file import file_bytes
from worker.contracts import Analysis, ResultObject, Role
from worker.report.cad_sr import cad_report
from worker.report.gsps import presentation_state
from worker.report.identity import (
    EXAM,
    named_views,
)
from worker.report.key_objects import key_objects
from worker.report.labelmap import label_map
from worker.report.record import record
from worker.report.secondary_capture import Picture, secondary_capture
from worker.report.seg import segmentation
from worker.report.sr import reports

NO_PICTURES: Mapping[str, Picture] = MappingProxyType({})  # of an exam without pixels
_DICOM = "application/dicom"


def encode(
    analysis: Analysis, pictures: Mapping[str, Picture] = NO_PICTURES
) -> tuple[ResultObject, ...]:
    """Every object of every role, then the record of the analysis: destinations choose.

    ``pictures`` are RGB pictures by the keys of their views, each of which becomes a Secondary
    Capture. Label maps, large and taken by few, are made where ``run.label_maps`` asks for them.

    The same analysis gives the same bytes: UIDs are derived and the time is ``run.created_at``,
    so that a repeated run delivers the same objects again instead of second ones. ``record``
    documents the JSON of the last object.

    Raises
    ------
    ValueError
        When the analysis has no source header to name the patient by, or a lesion's mask is not
        on the grid of its image.
    """
    objects = list(_objects(analysis, pictures))
    content = record(analysis, objects)
    return (*objects, ResultObject(Role.ANALYSIS, EXAM, "application/json", content))


def _objects(analysis: Analysis, pictures: Mapping[str, Picture]) -> Iterator[ResultObject]:
    views = list(named_views(analysis))
    segmented = {view.key: segmentation(analysis, view) for view in views if view.result.lesions}
    states = {view.key: presentation_state(analysis, view) for view in views}
    captures = {
        view.key: secondary_capture(analysis, view, pictures[view.key])
        for view in views
        if view.key in pictures
    }
    for role, made in ((Role.SEG, segmented), (Role.GSPS, states), (Role.SC, captures)):
        for key, ds in made.items():
            yield _dicom(role, key, ds)
    others = (*segmented.values(), *states.values(), *captures.values())
    selection = key_objects(analysis, others)
    if selection is not None:
        yield _dicom(Role.KEY_OBJECTS, EXAM, selection)
    for report in reports(analysis, segmented):
        yield _dicom(*report)
    yield _dicom(Role.CAD_SR, EXAM, cad_report(analysis))
    for view in views:
        if analysis.run.label_maps and view.key in segmented:
            ds = label_map(analysis, view, segmented[view.key])
            yield _dicom(Role.LABELMAP, view.key, ds)


def _dicom(role: Role, key: str, ds: Dataset) -> ResultObject:
    return ResultObject(
        role=role,
        key=key,
        media_type=_DICOM,
        content=file_bytes(ds),
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
    )
