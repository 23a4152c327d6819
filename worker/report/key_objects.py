"""The views with a lesion as a Key Object Selection, for readers who jump from one to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import KeyObjectSelectionDocumentStorage

from worker.contracts import Analysis, Role
from worker.report import codes, content
from worker.report.document import evidence, observer
from worker.report.identity import NamedView, Place, named_views, result_uid, stamp
from worker.report.wording import NOT_REVIEWED, count

_DESCRIPTION = "AI: views with a lesion; research use, not for diagnosis"


def key_objects(analysis: Analysis, others: Iterable[Dataset]) -> Dataset | None:
    """Recombined images of the views with a lesion, then the picture and masks made of them.

    ``others`` are the result objects of the same analysis; of them, Secondary Captures and
    Segmentations of those views are listed, and Presentation States are named with the image that
    they are for. None when no view has a lesion: an empty selection is not allowed (TID 2010).
    """
    views = [view for view in named_views(analysis) if view.result.lesions]
    if not views:
        return None
    made = {str(ds.SOPInstanceUID): ds for ds in others}
    source = views[0].result.recombined
    ds = content.container(
        codes.OF_INTEREST, _tree(analysis, views, made), relation=None, template="2010"
    )
    ds.SOPClassUID = KeyObjectSelectionDocumentStorage
    ds.ReferencedPerformedProcedureStepSequence = Sequence()
    ds.CurrentRequestedProcedureEvidenceSequence = Sequence(
        evidence(_listed(analysis, views, made))
    )
    place = Place(
        role=Role.KEY_OBJECTS,
        key="exam",
        modality="KO",
        series_description=f"AI key images: {count(len(views), 'view')} {NOT_REVIEWED}",
    )
    stamp(ds, analysis, source, place)
    return ds


def _tree(
    analysis: Analysis, views: list[NamedView], made: dict[str, Dataset]
) -> Iterator[Dataset]:
    """TID 2010; its references carry no concept name, as the template forbids one."""
    yield content.code(codes.LANGUAGE, codes.ENGLISH, relation=content.HAS_CONCEPT_MOD)
    yield from observer(analysis.card)
    yield content.text(codes.KEY_OBJECT_DESCRIPTION, _DESCRIPTION)
    for view in views:
        item = content.image(view.result.recombined)
        state = _of_view(analysis, view, Role.GSPS, made)
        if state is not None:  # what to show the image with (PS3.3 C.18.4)
            item.ReferencedSOPSequence[0].ReferencedSOPSequence = Sequence(
                [content.reference(state)]
            )
        yield item
    for view in views:
        for role in (Role.SC, Role.SEG):
            other = _of_view(analysis, view, role, made)
            if other is not None:
                yield content.image(other)


def _listed(
    analysis: Analysis, views: list[NamedView], made: dict[str, Dataset]
) -> Iterator[Dataset]:
    """Everything that the tree refers to."""
    for view in views:
        yield view.result.recombined
        for role in (Role.GSPS, Role.SC, Role.SEG):
            other = _of_view(analysis, view, role, made)
            if other is not None:
                yield other


def _of_view(
    analysis: Analysis, view: NamedView, role: Role, made: dict[str, Dataset]
) -> Dataset | None:
    return made.get(result_uid(analysis, role.value, view.key))
