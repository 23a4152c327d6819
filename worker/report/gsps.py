"""The outlined lesions of one view as a Grayscale Softcopy Presentation State."""

from __future__ import annotations

from collections.abc import Iterator

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from worker.contracts import Analysis, Role
from worker.report import content
from worker.report.annotation import lesion_objects, notice_objects
from worker.report.grey_scale import (
    copy_modality_lut,
    polarity,
    same_grey_scale,
    softcopy_voi,
)
from worker.report.identity import MANUFACTURER, NamedView, Place, stamp
from worker.report.wording import NOT_REVIEWED, RESEARCH_USE, count, long_string

_LESIONS, _NOTICE = "AI_LESIONS", "AI_NOTICE"  # graphic layers, so that a reader can hide one
_COLOUR = (71.7, 32.1, 71.8)  # CIE L*a*b* of the orange in which the pictures have the outline
_WHITE = 65535  # on a greyscale monitor (PS3.3 C.10.7: 0 is black)


def presentation_state(analysis: Analysis, view: NamedView) -> Dataset:
    """What the model marked in ``view``, over the images as they are shown without it.

    A presentation state replaces the whole grey-scale pipeline of an image (PS3.4 N.2.1), so that
    Modality LUT, VOI LUT and polarity are repeated from the image (PS3.3 A.33.1). The low-energy
    image is referenced too where one pipeline serves both.
    """
    images = _images(view)
    first = images[0]
    ds = Dataset()
    ds.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    ds.Laterality = view.result.pair.laterality
    ds.ReferencedSeriesSequence = Sequence(_by_series(images))
    ds.DisplayedAreaSelectionSequence = Sequence([_displayed_area(view)])
    _annotate(ds, view)
    copy_modality_lut(ds, first)
    voi = softcopy_voi(images)
    if voi:
        ds.SoftcopyVOILUTSequence = Sequence(voi)
    ds.PresentationLUTShape = polarity(first)
    found = count(len(view.result.lesions), "lesion") if view.result.lesions else "no lesion found"
    place = Place(
        role=Role.GSPS,
        key=view.key,
        modality="PR",
        number=view.number,
        series_description=f"AI {view.name}: {found}, marks on image {NOT_REVIEWED}",
    )
    stamp(ds, analysis, first, place)
    ds.ContentLabel = "AI_LESIONS" if view.result.lesions else "AI_NO_LESION"
    ds.ContentDescription = long_string(f"{view.name}: {found}. {RESEARCH_USE}")
    ds.ContentCreatorName = f"{MANUFACTURER}^"  # a family name alone, PS3.5 6.2.1
    ds.PresentationCreationDate, ds.PresentationCreationTime = ds.ContentDate, ds.ContentTime
    return ds


def _images(view: NamedView) -> list[Dataset]:
    """The recombined image, then the low-energy one if the same state can be laid over it."""
    recombined, low_energy = view.result.recombined, view.result.low_energy
    fits = (
        (low_energy.Rows, low_energy.Columns) == (recombined.Rows, recombined.Columns)
        and low_energy.StudyInstanceUID == recombined.StudyInstanceUID
        and same_grey_scale(low_energy, recombined)
    )
    return [recombined, low_energy] if fits else [recombined]


def _by_series(images: list[Dataset]) -> Iterator[Dataset]:
    """Presentation State Relationship module (PS3.3 C.11.11)."""
    by_series: dict[str, list[Dataset]] = {}
    for image in images:
        by_series.setdefault(image.SeriesInstanceUID, []).append(content.reference(image))
    for uid, references in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedImageSequence = Sequence(references)
        yield item


def _displayed_area(view: NamedView) -> Dataset:
    r"""The whole image; its first pixel is 1\1 here and nowhere else (PS3.3 C.10.4)."""
    image, spacing = view.result.recombined, view.result.spacing_mm
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [int(image.Columns), int(image.Rows)]
    item.PresentationSizeMode = "SCALE TO FIT"
    if spacing is None:
        item.PresentationPixelAspectRatio = [1, 1]
    else:
        item.PresentationPixelSpacing = [f"{value:.10g}" for value in spacing]
    return item


def _annotate(ds: Dataset, view: NamedView) -> None:
    """Graphic Annotation and Graphic Layer modules (PS3.3 C.10.5, C.10.7)."""
    layers = [_layer(_NOTICE, "Notice of the AI result")]
    annotations = [_annotation(_NOTICE, texts=notice_objects(view))]
    if view.result.lesions:
        texts, outlines = lesion_objects(view)
        layers.append(_layer(_LESIONS, "Lesions outlined by AI"))
        annotations.append(_annotation(_LESIONS, texts=texts, graphics=outlines))
    for order, layer in enumerate(layers, start=1):
        layer.GraphicLayerOrder = order
    ds.GraphicLayerSequence = Sequence(layers)
    ds.GraphicAnnotationSequence = Sequence(annotations)


def _layer(name: str, description: str) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer = name
    layer.GraphicLayerDescription = f"{description}. {RESEARCH_USE}"
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = _WHITE
    layer.GraphicLayerRecommendedDisplayCIELabValue = list(hd.color.CIELabColor(*_COLOUR).value)
    return layer


def _annotation(layer: str, texts: list[Dataset], graphics: list[Dataset] | None = None) -> Dataset:
    """Without a Referenced Image Sequence it is for every image of the state."""
    item = Dataset()
    item.GraphicLayer = layer
    item.TextObjectSequence = Sequence(texts)
    if graphics:
        item.GraphicObjectSequence = Sequence(graphics)
    return item
