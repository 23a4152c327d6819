"""Which images of a study belong together as low-energy and recombined views of one breast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dicom_node.domain.instance import ImageKind, InstanceHeader

SAME_EXPOSURE_S = (
    60.0  # both exposures of one compression lie within seconds; archives round to minutes
)
SPACING_TOLERANCE = 0.01
FULL_EXAM = ("R CC", "L CC", "R MLO", "L MLO")


@dataclass(frozen=True)
class ViewPair:
    """Low-energy and recombined image of one laterality and view.

    ``evidence`` says by which rule they were matched; ``weak`` that the rule is a guess which the
    report must name as a limitation.
    """

    laterality: str  # "L" or "R"
    view: str  # "CC", "MLO", ...
    low_energy: InstanceHeader
    recombined: InstanceHeader
    evidence: str
    weak: bool = False

    @property
    def name(self) -> str:
        """``"R CC"``: how people name the view."""
        return f"{self.laterality} {self.view}"


@dataclass(frozen=True)
class Excluded:
    """An image that no analysis uses, with the reason as code and as a sentence."""

    sop_instance_uid: str
    code: str
    reason: str


@dataclass(frozen=True)
class Exam:
    """A study sorted out: pairs to analyse, and every other image with its reason."""

    views: tuple[ViewPair, ...]
    excluded: tuple[Excluded, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names of the views that have a pair."""
        return frozenset(view.name for view in self.views)


def view_name(header: InstanceHeader) -> str:
    """``"R CC"``, the name of the grid cell that an image belongs to."""
    return f"{header.laterality or '?'} {header.view or '?'}"


def pair(headers: Iterable[InstanceHeader]) -> Exam:
    """Sort a study's images into pairs and exclusions; the order of arrival never matters.

    Every header ends in exactly one pair or in exactly one exclusion. Of several pairs of one
    view (early and late phase), the newest is analysed and the others are excluded as such.
    """
    candidates: dict[tuple[object, ...], list[InstanceHeader]] = defaultdict(list)
    excluded: list[Excluded] = []
    for header in sorted(set(headers), key=_order):
        if header.exclusion is not None:
            excluded.append(
                Excluded(header.sop_instance_uid, header.exclusion, header.exclusion_text)
            )
        else:
            key = (*_patient(header), header.laterality, header.view, header.partial_view)
            candidates[key].append(header)
    views: list[ViewPair] = []
    for group in candidates.values():
        chosen, left = _match_view(group)
        views += chosen
        excluded += left
    views.sort(key=lambda v: (_rank(v.name), v.recombined.sop_instance_uid))
    excluded.sort(key=lambda e: e.sop_instance_uid)
    return Exam(tuple(views), tuple(excluded))


def _patient(header: InstanceHeader) -> tuple[str, str]:
    """Images of two patients under one study are never one exposure."""
    return header.study_instance_uid, header.patient_id


def _order(header: InstanceHeader) -> tuple[float, str]:
    return header.acquired_at or 0.0, header.sop_instance_uid


def _rank(name: str) -> tuple[int, str]:
    return (FULL_EXAM.index(name) if name in FULL_EXAM else len(FULL_EXAM)), name


def _match_view(
    group: Sequence[InstanceHeader],
) -> tuple[list[ViewPair], list[Excluded]]:
    """Match the images of one view one-to-one, by descending strength of evidence."""
    low = [h for h in group if h.kind is ImageKind.LOW_ENERGY]
    recombined = [h for h in group if h.kind is ImageKind.RECOMBINED]
    plain = [h for h in group if h.kind is ImageKind.FFDM]
    pairs: list[ViewPair] = []
    excluded: list[Excluded] = []
    for evidence, rule in _EVIDENCE:
        _take(low, recombined, rule, evidence, pairs, excluded)
    if len(low) == 1 and len(recombined) == 1:
        _join(low.pop(), recombined.pop(), "one of each in this view", pairs, excluded)
    if not low and len(plain) == 1 and len(recombined) == 1 and _near(plain[0], recombined[0]):
        ffdm = replace(plain.pop(), kind=ImageKind.LOW_ENERGY, kind_weak=True)
        evidence = "a mammogram of the same view and time"
        _join(ffdm, recombined.pop(), evidence, pairs, excluded)
    kept, older = _newest(pairs)
    excluded += older
    others = [h for h in group if h.kind not in _ALONE]
    excluded += [_alone(header) for header in (*low, *recombined, *plain, *others)]
    return kept, excluded


def _take(
    low: list[InstanceHeader],
    recombined: list[InstanceHeader],
    rule: Callable[[InstanceHeader, InstanceHeader], bool],
    evidence: str,
    pairs: list[ViewPair],
    excluded: list[Excluded],
) -> None:
    """Join what ``rule`` ties together, but only where it names one partner both ways."""
    for second in list(recombined):
        partners = [first for first in low if rule(first, second)]
        if len(partners) != 1:
            continue
        rivals = [other for other in recombined if rule(partners[0], other)]
        if len(rivals) != 1:
            continue
        low.remove(partners[0])
        recombined.remove(second)
        _join(partners[0], second, evidence, pairs, excluded)


def _join(
    first: InstanceHeader,
    second: InstanceHeader,
    evidence: str,
    pairs: list[ViewPair],
    excluded: list[Excluded],
) -> None:
    """Record a pair, or both images as excluded when they do not lie on one grid."""
    difference = geometry_difference(first, second)
    if difference:
        text = f"low-energy and recombined image differ in {difference}"
        excluded += [Excluded(h.sop_instance_uid, "geometry", text) for h in (first, second)]
        return
    weak = first.kind_weak or second.kind_weak
    pairs.append(
        ViewPair(first.laterality or "", first.view or "", first, second, evidence, weak=weak)
    )


def geometry_difference(first: InstanceHeader, second: InstanceHeader) -> str:
    """What keeps two images from lying on one pixel grid, in words; empty when nothing does."""
    if (first.rows, first.columns) != (second.rows, second.columns):
        return (
            f"matrix ({first.columns} x {first.rows} and {second.columns} x {second.rows} pixels)"
        )
    one, two = first.spacing_mm, second.spacing_mm
    if (
        one
        and two
        and any(abs(a - b) > SPACING_TOLERANCE * max(a, b) for a, b in zip(one, two, strict=True))
    ):
        return f"pixel spacing ({one[0]:.4f} and {two[0]:.4f} mm)"
    for name in ("patient_orientation", "field_of_view"):
        a, b = getattr(first, name), getattr(second, name)
        if a and b and a != b:
            return f"{name.replace('_', ' ')} ({'/'.join(a)} and {'/'.join(b)})"
    return ""


def _names_as_source(first: InstanceHeader, second: InstanceHeader) -> bool:
    return first.sop_instance_uid in second.source_sop_instance_uids


def _same_frame_of_reference(first: InstanceHeader, second: InstanceHeader) -> bool:
    uid = first.frame_of_reference_uid
    return uid is not None and uid == second.frame_of_reference_uid


def _same_acquisition(first: InstanceHeader, second: InstanceHeader) -> bool:
    if set(first.irradiation_event_uids) & set(second.irradiation_event_uids):
        return True
    uid = first.acquisition_uid
    return uid is not None and uid == second.acquisition_uid


def _near(first: InstanceHeader, second: InstanceHeader) -> bool:
    if first.acquired_at is None or second.acquired_at is None:
        return False
    same_device = not first.device or not second.device or first.device == second.device
    return same_device and abs(first.acquired_at - second.acquired_at) <= SAME_EXPOSURE_S


_EVIDENCE: tuple[tuple[str, Callable[[InstanceHeader, InstanceHeader], bool]], ...] = (
    ("Source Image Sequence", _names_as_source),
    ("Frame of Reference UID", _same_frame_of_reference),
    ("Irradiation Event or Acquisition UID", _same_acquisition),
    ("acquisition time and device", _near),
)


def _newest(pairs: list[ViewPair]) -> tuple[list[ViewPair], list[Excluded]]:
    """Of several phases of one view the newest; the older ones named as what they are."""
    ordered = sorted(pairs, key=lambda p: _order(p.recombined))
    older = [
        Excluded(header.sop_instance_uid, "earlier_phase", "an earlier exposure of the same view")
        for view in ordered[:-1]
        for header in (view.low_energy, view.recombined)
    ]
    return ordered[-1:], older


_ALONE = {
    ImageKind.LOW_ENERGY: ("no_recombined", "no recombined image of this view belongs to it"),
    ImageKind.RECOMBINED: ("no_low_energy", "no low-energy image of this view belongs to it"),
    ImageKind.FFDM: ("not_cem", "a mammogram without contrast"),
}


def _alone(header: InstanceHeader) -> Excluded:
    other = (header.kind.value, "this kind of image is not analysed")
    code, text = _ALONE.get(header.kind, other)
    return Excluded(header.sop_instance_uid, code, text)
