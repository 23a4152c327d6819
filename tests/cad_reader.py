"""Takes CAD reports apart: links, images, points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from tests.report_reader import codes, concept, items, report_of
from worker.contracts import Analysis, Role

CENTER = "111010"


def cad_of(made: Analysis) -> Dataset:
    return report_of(made, Role.CAD_SR)


def at(report: Dataset, identifier: Sequence[int]) -> Dataset:
    """The item that a Referenced Content Item Identifier means: positions from 1, the root first.

    A second reading of PS3.3 C.17.3.2.5, independent of the one that writes.
    """
    root, *below = identifier
    assert root == 1
    item = report
    for position in below:
        assert position >= 1
        item = item.ContentSequence[position - 1]
    return item


def images_of(report: Dataset) -> list[Dataset]:
    (library,) = [item for item in report.ContentSequence if concept(item) == "111028"]
    return list(library.get("ContentSequence", ()))


def uid_of(image: Dataset) -> str:
    return str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def uids(report: Dataset, wanted: str) -> list[str]:
    return [item.UID for item in items(report) if concept(item) == wanted]


def number(item: Dataset, wanted: str) -> float:
    """Of the item or, where it is a heading, of the first below it that has one."""
    found = [child for child in items(item) if concept(child) == wanted]
    return float(found[0].MeasuredValueSequence[0].NumericValue)


def status(report: Dataset, wanted: str) -> str:
    (value,) = codes(report, wanted)
    return value


def linked(report: Dataset, heading: str) -> list[str]:
    """UIDs of the images that the items under ``heading`` link to."""

    def links() -> Iterator[Dataset]:
        for container in items(report):
            if concept(container) == heading:
                yield from items(container)

    return [
        uid_of(at(report, item.ReferencedContentItemIdentifier))
        for item in links()
        if "ReferencedContentItemIdentifier" in item
    ]


def graphic(report: Dataset, item: Dataset, wanted: str, image: Dataset) -> np.ndarray:
    """Points (N, 2) of the only graphic of that name, which is on ``image``."""
    (found,) = [child for child in item.ContentSequence if concept(child) == wanted]
    assert found.GraphicType == ("POINT" if wanted == CENTER else "POLYLINE")
    (link,) = found.ContentSequence
    assert link.RelationshipType == "SELECTED FROM"
    assert uid_of(at(report, link.ReferencedContentItemIdentifier)) == image.SOPInstanceUID
    return np.reshape(np.array(found.GraphicData, dtype=np.float32), (-1, 2))
