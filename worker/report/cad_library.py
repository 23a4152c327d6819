"""Images of the CAD report, each named once, linked to from wherever it is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.domain.kind import MAMMOGRAPHY
from worker.contracts import Analysis, Status
from worker.report import codes, content
from worker.report.document import analysed_images, study_headers
from worker.report.wording import ascii_text

PLACE = 2  # of the library among the root's items, from 1: the language is the first
_ROOT = 1
_MICROMETRES = 1000  # of a millimetre
# Reasons of `Excluded` that name an image which should have been analysed.
_WANTED = frozenset({"pixel_decode", "unsuitable", "geometry", "no_low_energy", "no_recombined"})
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?")


@dataclass(frozen=True)
class Library:
    """Which images the detection saw (``done``), which it should have seen (``failed``).

    Links (PS3.3 C.17.3.2.5) lead to an image by its position in ``images``, for TID 4000 allows
    no other reference outside the library.
    """

    images: tuple[Dataset, ...]
    done: tuple[Dataset, ...]
    failed: tuple[Dataset, ...]

    def entries(self) -> Iterator[Dataset]:
        """TID 4020, one IMAGE item for each."""
        return map(_entry, self.images)

    def links(self, images: Iterable[Dataset], *, relation: str) -> Iterator[Dataset]:
        """Links to ``images``."""
        places: Mapping[str, int] = {
            str(ds.SOPInstanceUID): place for place, ds in enumerate(self.images, start=1)
        }
        for ds in images:
            yield content.link((_ROOT, PLACE, places[str(ds.SOPInstanceUID)]), relation=relation)

    def link(self, image: Dataset) -> Dataset:
        """The link from a point or an outline to its image."""
        (item,) = self.links([image], relation=content.SELECTED_FROM)
        return item


def library_of(analysis: Analysis, source: Dataset) -> Library:
    """The images that were analysed or should have been; where there is neither, every one.

    Other images of the study stay out: a workstation would take them as looked at.
    """
    images = [ds for ds in study_headers(analysis, source) if _is_image(ds)]
    done = {str(ds.SOPInstanceUID) for ds in analysed_images(analysis)}
    wanted = {e.sop_instance_uid for e in analysis.excluded if e.code in _WANTED} - done
    named = [ds for ds in images if ds.SOPInstanceUID in done | wanted] or images
    failed = [] if analysis.status is Status.UNSUITABLE else _failed(analysis, named, wanted)
    return Library(
        images=tuple(named),
        done=tuple(ds for ds in named if ds.SOPInstanceUID in done),
        failed=tuple(failed),
    )


def _failed(analysis: Analysis, images: list[Dataset], wanted: set[str]) -> list[Dataset]:
    if analysis.status is Status.FAILED and not wanted:
        return images
    return [ds for ds in images if ds.SOPInstanceUID in wanted]


def _is_image(ds: Dataset) -> bool:
    """Also by its class: the header of a damaged file may hold no more than that."""
    return ("Rows" in ds and "Columns" in ds) or str(ds.SOPClassUID) in MAMMOGRAPHY


def _entry(ds: Dataset) -> Dataset:
    return content.image(ds, children=[*_position(ds), *_study(ds), *_spacing(ds)])


def _position(ds: Dataset) -> Iterator[Dataset]:
    side = codes.BREASTS.get(str(ds.get("ImageLaterality") or ds.get("Laterality") or ""))
    if side is not None:
        yield content.code(codes.IMAGE_LATERALITY, side, relation=content.HAS_ACQ_CONTEXT)
    for item in ds.get("ViewCodeSequence") or ():
        view = codes.VIEWS.get(item.get("CodeValue"))
        if view is not None:
            yield content.code(
                codes.IMAGE_VIEW,
                view,
                relation=content.HAS_ACQ_CONTEXT,
                children=_modifiers(item),
            )
    orientation = ds.get("PatientOrientation") or ()
    names = (codes.ORIENTATION_ROW, codes.ORIENTATION_COLUMN)
    if len(orientation) == len(names) and all(orientation):
        for name, value in zip(names, orientation, strict=True):
            yield content.text(name, ascii_text(value), relation=content.HAS_ACQ_CONTEXT)


def _modifiers(view: Dataset) -> Iterator[Dataset]:
    for item in view.get("ViewModifierCodeSequence") or ():
        modifier = codes.VIEW_MODIFIERS.get(item.get("CodeValue"))
        if modifier is not None:
            yield content.code(codes.VIEW_MODIFIER, modifier, relation=content.HAS_CONCEPT_MOD)


def _study(ds: Dataset) -> Iterator[Dataset]:
    """Date and time of the study; odd ones are left out here, as the header has them too."""
    day, time = (str(ds.get(name) or "").strip() for name in ("StudyDate", "StudyTime"))
    if _DATE.fullmatch(day):
        yield content.date(codes.STUDY_DATE, day, relation=content.HAS_ACQ_CONTEXT)
    if _TIME.fullmatch(time):
        yield content.time(codes.STUDY_TIME, time, relation=content.HAS_ACQ_CONTEXT)


def _spacing(ds: Dataset) -> Iterator[Dataset]:
    """At the detector, as 111026 and 111066 are defined (PS3.16 annex D); sizes have their own."""
    spacing = ds.get("ImagerPixelSpacing") or ()
    names = (codes.VERTICAL_SPACING, codes.HORIZONTAL_SPACING)  # the element has rows first
    if len(spacing) != len(names) or not all(spacing):
        return
    for name, value in reversed(list(zip(names, spacing, strict=True))):
        yield content.num(
            name,
            f"{_MICROMETRES * float(value):.6g}",
            codes.MICROMETRE,
            relation=content.HAS_ACQ_CONTEXT,
        )
