"""Content items of a structured report, one function per value type (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code

from worker.report.codes import code_item

CONTAINS = "CONTAINS"
HAS_CONCEPT_MOD = "HAS CONCEPT MOD"
HAS_OBS_CONTEXT = "HAS OBS CONTEXT"
HAS_ACQ_CONTEXT = "HAS ACQ CONTEXT"
HAS_PROPERTIES = "HAS PROPERTIES"
INFERRED_FROM = "INFERRED FROM"
SELECTED_FROM = "SELECTED FROM"


def _item(
    value_type: str, relation: str | None, name: Code | None, children: Iterable[Dataset] = ()
) -> Dataset:
    item = Dataset()
    if relation is not None:
        item.RelationshipType = relation
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = Sequence([code_item(name)])
    nested = list(children)
    if nested:
        item.ContentSequence = Sequence(nested)
    return item


def container(
    name: Code,
    children: Iterable[Dataset],
    *,
    relation: str | None = CONTAINS,
    template: str | None = None,
) -> Dataset:
    """A heading; ``relation`` is None for the root; ``template`` is a TID of PS3.16."""
    item = _item("CONTAINER", relation, name, children)
    item.ContinuityOfContent = "SEPARATE"
    if template is not None:
        identification = Dataset()
        identification.MappingResource = "DCMR"
        identification.TemplateIdentifier = template
        item.ContentTemplateSequence = Sequence([identification])
    return item


def text(name: Code, value: str, *, relation: str = CONTAINS) -> Dataset:
    """A sentence."""
    item = _item("TEXT", relation, name)
    item.TextValue = value
    return item


def code(
    name: Code, value: Code, *, relation: str = CONTAINS, children: Iterable[Dataset] = ()
) -> Dataset:
    """A coded answer."""
    item = _item("CODE", relation, name, children)
    item.ConceptCodeSequence = Sequence([code_item(value)])
    return item


def uid(name: Code, value: str, *, relation: str = HAS_OBS_CONTEXT) -> Dataset:
    """A UID as an answer."""
    item = _item("UIDREF", relation, name)
    item.UID = value
    return item


def date(name: Code, value: str, *, relation: str) -> Dataset:
    """A day, as YYYYMMDD."""
    item = _item("DATE", relation, name)
    item.Date = value
    return item


def time(name: Code, value: str, *, relation: str) -> Dataset:
    """A time of day, as HHMMSS.FFFFFF or the beginning of that."""
    item = _item("TIME", relation, name)
    item.Time = value
    return item


def num(
    name: Code,
    value: str,
    unit: Code,
    *,
    relation: str = CONTAINS,
    children: Iterable[Dataset] = (),
) -> Dataset:
    """A number with its unit; ``value`` is decimal text of at most 16 characters (PS3.5 6.2 DS)."""
    item = _item("NUM", relation, name, children)
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = Sequence([code_item(unit)])
    item.MeasuredValueSequence = Sequence([measured])
    return item


def image(
    ds: Dataset,
    *,
    name: Code | None = None,
    relation: str = CONTAINS,
    children: Iterable[Dataset] = (),
) -> Dataset:
    """A reference to the image whose header is ``ds``."""
    item = _item("IMAGE", relation, name, children)
    item.ReferencedSOPSequence = Sequence([reference(ds)])
    return item


def polyline(name: Code, points: npt.NDArray[np.float64], on: Dataset) -> Dataset:
    r"""A region of the image ``on``.

    ``points`` (N, 2) are (column, row) with 0\0 at the top left corner of the first pixel
    (PS3.3 C.18.6.1.2); the first is repeated at the end when the region is closed.
    """
    return scoord(name, points, image(on, relation=SELECTED_FROM))


def scoord(
    name: Code,
    points: npt.NDArray[np.float64],
    source: Dataset,
    *,
    graphic: str = "POLYLINE",
    relation: str = CONTAINS,
) -> Dataset:
    """Points as of ``polyline`` on the image that the item ``source`` names or links to."""
    item = _item("SCOORD", relation, name, [source])
    item.GraphicType = graphic
    item.GraphicData = points.astype(np.float32).ravel().tolist()
    return item


def link(identifier: Iterable[int], *, relation: str) -> Dataset:
    """A relationship by reference to the item at ``identifier``.

    Its numbers are positions from 1, from the root, which is 1, down to the item
    (PS3.3 C.17.3.2.5).
    """
    item = Dataset()
    item.RelationshipType = relation
    item.ReferencedContentItemIdentifier = list(identifier)
    return item


def reference(ds: Dataset) -> Dataset:
    """Class and instance UID of ``ds``, as an item of any referenced SOP sequence."""
    item = Dataset()
    item.ReferencedSOPClassUID = ds.SOPClassUID
    item.ReferencedSOPInstanceUID = ds.SOPInstanceUID
    return item
