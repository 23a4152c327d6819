"""Values that pass between the worker's rooms, in the order in which they appear."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.domain.exam import Excluded, ViewPair

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SourceImage:
    """One decoded image: ``ds`` is its header without pixels, ``pixels`` (rows, columns) float32.

    Pixels are oriented as stored (never flipped) and polarity-normalised, so that high means dense
    (low-energy) or enhancing (recombined) whatever the photometric interpretation; padding has the
    lowest valid value.
    """

    ds: Dataset
    pixels: FloatImage


@dataclass(frozen=True)
class Frame:
    """Where the network grid lies on the source grid: crop, flip and scale, with an exact inverse.

    ``source_shape`` and ``network_shape`` are (rows, columns). The crop box is in source pixels,
    half-open. A network point (x, y), TLHC corner origin, is
    ``source_x = left + (x - pad_x) / scale``, and likewise for y. ``flipped`` means that the crop
    was mirrored so that the chest wall is on the left: then ``source_x = right - (x - pad_x) /
    scale``; the box is in stored pixels either way.
    """

    source_shape: tuple[int, int]
    network_shape: tuple[int, int]
    top: int
    left: int
    bottom: int
    right: int
    scale: float
    pad_x: float
    pad_y: float
    flipped: bool


@dataclass(frozen=True)
class PreparedView:
    """The network's input: ``image`` (2, H, W) float32 (low_energy, recombined), and its frame."""

    image: FloatImage
    frame: Frame


@dataclass(frozen=True)
class Lesion:
    r"""One lesion of one view on the source grid of the recombined image.

    ``mask`` (rows, columns) bool. ``outline`` closed polygon of (column, row) points with the
    origin at the top left corner of the first pixel (PS3.3 C.18.6: its centre is 0.5\0.5), first
    point repeated at the end. Sizes are millimetres of the breast plane; None without a spacing.
    """

    mask: Mask
    outline: npt.NDArray[np.float64]  # (N, 2)
    area_mm2: float | None
    long_axis_mm: float | None
    long_axis: tuple[tuple[float, float], tuple[float, float]]  # two (column, row) end points
    area_px: int
    peak_probability: float  # highest probability of the segmentation network inside, [0, 1]


@dataclass(frozen=True)
class ViewResult:
    """One analysed view: the pair it came from, its headers, its lesions and its heat map.

    ``heat_map`` (H, W) float32 in [0, 1] on the network grid of ``frame``; None without a lesion.
    ``gate`` is ``"lesion"``, ``"many_lesions"`` where there are more than are reported, or
    ``"no_lesion"``.
    """

    pair: ViewPair
    low_energy: Dataset
    recombined: Dataset
    frame: Frame
    lesions: tuple[Lesion, ...]
    heat_map: FloatImage | None
    gate: str
    spacing_mm: tuple[float, float] | None
    spacing_rule: str


@dataclass(frozen=True)
class Gate:
    """Why a breast's probability is not given, or not to be relied on: a code and a sentence."""

    code: str  # "many_lesions", "lesion_size", "lesion_at_edge", "unlike_training",
    # "views_disagree"
    text: str


@dataclass(frozen=True)
class Assistance:
    """What the result suggests for a radiologist's BI-RADS category; never one of its own.

    ``suggestion`` is "consider lower", "no change" or "consider higher"; None without a lesion.
    The limits are the bundle's, probabilities in [0, 1].
    """

    category: str
    suggestion: str | None
    lower_below: float
    higher_from: float


@dataclass(frozen=True)
class Finding:
    """One breast: its views and, where a lesion was found, the calibrated probability in [0, 1]."""

    laterality: str  # "L" or "R"
    views: tuple[ViewResult, ...]
    p_malignant: float | None
    decision: str  # "malignant" | "benign" | "indeterminate" | "not_assessed" | "no_lesion"
    gate: Gate | None = None  # without a probability where "not_assessed"
    assistance: Assistance | None = None  # where a radiologist's category is known


@dataclass(frozen=True)
class ModelCard:
    """Identity and limits of the bundle that made a result; what every output names."""

    name: str
    version: str
    uuid: str
    sha256: str  # over the bundle's SHA256SUMS: changes with any byte of it
    family: str  # "RefineNet-LW18 + Xception-PPM", for the SR's algorithm parameters
    thresholds: Mapping[str, float]
    statement: str  # one sentence on what it was trained on
    clinical: bool = False
    signed: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict)


class Status(enum.Enum):
    """How an analysis ended, as the report must say it."""

    COMPLETE = "complete"
    PARTIAL = "partial"  # a view is missing or could not be analysed; what there is, is reported
    UNSUITABLE = "unsuitable"  # nothing in the exam that may be analysed
    FAILED = "failed"  # it should have worked and did not


@dataclass(frozen=True, kw_only=True)
class Predecessor:
    """A result object of the revision before: what a new object of its role and key replaces."""

    role: str
    key: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class RunIdentity:
    """What makes result UIDs the same again: nothing here is a clock or a dice.

    ``created_at`` comes from the job row and is timezone-aware; ``input_hash`` covers the analysed
    instances' hashes, and ``categories``: the radiologist's BI-RADS category by breast,
    ``{"R": "4A"}``, empty where nothing shall be suggested. ``predecessors`` are the reports of
    the newest earlier revision that has results; ``label_maps`` asks for these too.
    """

    study_instance_uid: str
    input_hash: str
    revision: int
    created_at: datetime
    profile: str = "default"
    categories: Mapping[str, str] = field(default_factory=dict)
    predecessors: tuple[Predecessor, ...] = ()
    label_maps: bool = False


@dataclass(frozen=True)
class Analysis:
    """Everything a report is written from."""

    run: RunIdentity
    status: Status
    reason: str  # for people; empty when COMPLETE
    reason_code: str  # for the ledger: "no_cem_pair", "pixel_decode", ...
    findings: tuple[Finding, ...]
    excluded: tuple[Excluded, ...]
    missing: tuple[str, ...]  # "R MLO: low-energy image"
    headers: tuple[Dataset, ...]  # header of every image received for the study, for references
    card: ModelCard
    seconds: Mapping[str, float]  # stage -> seconds, in order


class Role(enum.Enum):
    """What a stored artefact is for."""

    SEG = "seg"
    LABELMAP = "labelmap"
    SR = "sr"  # TID 1500 as Comprehensive 3D SR, one for the exam
    SR_IMAGE = "sr_image"  # the same, one for each image with a lesion
    SR_2D = "sr_2d"  # TID 1500 as Comprehensive SR, one for the exam
    SR_IMAGE_2D = "sr_image_2d"
    CAD_SR = "cad_sr"  # Mammography CAD SR, TID 4000
    GSPS = "gsps"
    SC = "sc"
    KEY_OBJECTS = "key_objects"
    PREVIEW = "preview"  # PNG for the page: image with outline
    HEAT_MAP = "heat_map"  # PNG for the page: image with heat map
    ANALYSIS = "analysis"  # JSON for the page and for `faps analyse`


REPORTS = frozenset({Role.SR, Role.SR_IMAGE, Role.SR_2D, Role.SR_IMAGE_2D, Role.CAD_SR})


@dataclass(frozen=True)
class ResultObject:
    """One artefact as bytes, encoded once: DICOM file bytes for SEG and SR, PNG or JSON otherwise.

    ``key`` tells objects of one role apart (``"R-CC"``, ``"exam"``) within a run.
    """

    role: Role
    key: str
    media_type: str  # "application/dicom", "image/png", "application/json"
    content: bytes
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
