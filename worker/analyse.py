"""One exam from headers to result objects: a straight line, no branch but the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from PIL.Image import Image
from pydicom.dataset import Dataset

from dicom_node.domain.exam import Exam, Excluded, pair
from dicom_node.domain.spacing import spacing_of
from dicom_node.domain.study import missing_images
from worker.contracts import (
    Analysis,
    Assistance,
    Finding,
    FloatImage,
    Gate,
    ModelCard,
    ResultObject,
    Role,
    RunIdentity,
    Status,
    ViewResult,
)
from worker.exam.gates import gate_of
from worker.exam.lesions import MOST_LESIONS, outline
from worker.faps.assist import suggest
from worker.faps.predictor import Answer, Faps
from worker.reading import READ_AHEAD, ReadView, Source, read_headers, read_views
from worker.report.encode import encode
from worker.report.identity import NamedView, named_views
from worker.report.preview import Overlay, draw, grey_picture, render, shrunk
from worker.report.wording import picture_lines
from worker.stopwatch import Stopwatch

SIDES = ("R", "L")


@dataclass(frozen=True)
class _Seen:
    """A view that was segmented, with what the classifier needs of it."""

    view: ReadView
    result: ViewResult
    probability: FloatImage


def analyse(
    sources: Sequence[Source],
    run: RunIdentity,
    faps: Faps,
    expected_views: Sequence[str],
    progress: Callable[[str], None] = lambda _view: None,
) -> tuple[Analysis, tuple[ResultObject, ...]]:
    """Analyse one exam and write its result objects.

    An exam without a pair, or one whose pixels cannot be read, is reported too: the analysis then
    says why, and so does its SR. ``progress`` is called with the name of each view when it begins.
    """
    stopwatch = Stopwatch()
    exam = pair(source.header for source in sources)  # headers only
    failed: list[Excluded] = []
    seen: list[_Seen] = []
    for view in read_views(exam.views, sources, faps.grid, failed, stopwatch):
        progress(view.pair.name)
        seen.append(_segment(view, faps, stopwatch))
    with stopwatch.stage("classify"):
        findings = tuple(
            _classify(side, [s for s in seen if s.view.pair.laterality == side], run, faps)
            for side in SIDES
            if any(s.view.pair.laterality == side for s in seen)
        )
    with stopwatch.stage("read"):
        headers = read_headers(sources, (s.view for s in seen))
    missing = missing_images((source.header for source in sources), expected_views)
    analysis = conclude(run, exam, failed, findings, headers, missing, faps.card)
    with stopwatch.stage("preview"):
        previews, pictures = _pictures(seen, analysis)
    with stopwatch.stage("encode"):
        results = encode(replace(analysis, seconds=stopwatch.seconds), pictures)
    return replace(analysis, seconds=stopwatch.seconds), (*results, *previews)


def _segment(view: ReadView, faps: Faps, stopwatch: Stopwatch) -> _Seen:
    with stopwatch.stage("segment"):
        probability = faps.segment(view.prepared)
    spacing, rule = spacing_of(view.recombined.ds)
    frame = view.prepared.frame
    with stopwatch.stage("outline"):
        lesions = outline(probability, frame, spacing, thresholds=faps.thresholds)
    result = ViewResult(
        pair=view.pair,
        low_energy=view.low_energy.ds,
        recombined=view.recombined.ds,
        frame=frame,
        lesions=lesions[:MOST_LESIONS],
        heat_map=None,
        gate=_gate_of_view(len(lesions)),
        spacing_mm=spacing,
        spacing_rule=rule,
    )
    return _Seen(view, result, probability)


def _gate_of_view(lesions: int) -> str:
    if lesions > MOST_LESIONS:
        return "many_lesions"
    return "lesion" if lesions else "no_lesion"


def _classify(side: str, seen: Sequence[_Seen], run: RunIdentity, faps: Faps) -> Finding:
    """CC and MLO of one breast decide together, over the views in which a lesion was found."""
    views = tuple(s.result for s in seen)
    positive = [s for s in seen if s.result.lesions]
    if not positive:
        return _assisted(Finding(side, views, None, "no_lesion"), run, faps)
    gate = gate_of([s.result for s in positive])
    if gate is None:
        answer = faps.classify([(s.view.prepared, s.probability) for s in positive])
        gate = _strange(answer, faps.card)
    if gate is not None:
        return _assisted(Finding(side, views, None, "not_assessed", gate), run, faps)
    heat = {id(s): heat for s, heat in zip(positive, answer.heat_maps, strict=True)}
    views = tuple(replace(s.result, heat_map=heat.get(id(s))) for s in seen)
    gate = _disagreement(answer, [s.view.pair.view for s in positive], faps.card)
    decision = "indeterminate" if gate else _decision(answer.p_malignant, faps.card)
    return _assisted(Finding(side, views, answer.p_malignant, decision, gate), run, faps)


def _assisted(finding: Finding, run: RunIdentity, faps: Faps) -> Finding:
    """With what the probability suggests for the radiologist's category, where there is one."""
    category = run.categories.get(finding.laterality)
    if category is None:
        return finding
    p = finding.p_malignant
    limits = faps.thresholds
    suggestion = None if p is None else suggest(category, p, limits).value
    lower, higher = limits["birads_lower_below"], limits["birads_higher_from"]
    return replace(finding, assistance=Assistance(category, suggestion, lower, higher))


def _strange(answer: Answer, card: ModelCard) -> Gate | None:
    limit = card.thresholds.get("strangeness")
    if limit is None or answer.strangeness <= limit:
        return None
    return Gate(
        "unlike_training",
        "the lesion looks unlike those that the model has learnt from (distance "
        f"{answer.strangeness:.1f}, usual are {limit:.1f} at most)",
    )


def _disagreement(answer: Answer, names: Sequence[str], card: ModelCard) -> Gate | None:
    """Views that would each be decided the other way: their mean says nothing."""
    by_view = {name: _decision(p, card) for name, p in zip(names, answer.by_view, strict=True)}
    if not {"malignant", "benign"} <= set(by_view.values()):
        return None
    words = ", ".join(
        f"{name} {100 * p:.1f} %" for name, p in zip(names, answer.by_view, strict=True)
    )
    return Gate("views_disagree", f"the views contradict each other ({words})")


def _decision(p_malignant: float, card: ModelCard) -> str:
    if p_malignant >= card.thresholds["malignant_from"]:
        return "malignant"
    return "benign" if p_malignant < card.thresholds["benign_below"] else "indeterminate"


def conclude(
    run: RunIdentity,
    exam: Exam,
    failed: Sequence[Excluded],
    findings: tuple[Finding, ...],
    headers: tuple[Dataset, ...],
    missing: tuple[str, ...],
    card: ModelCard,
) -> Analysis:
    """How the analysis ended, with the reason in words."""
    problems = (*missing, *dict.fromkeys(entry.reason for entry in failed))
    if findings:
        status = Status.PARTIAL if problems else Status.COMPLETE
        code, reason = ("incomplete", "; ".join(problems)) if problems else ("", "")
    elif failed:
        status, code, reason = Status.FAILED, failed[0].code, "; ".join(problems)
    else:
        status, code = Status.UNSUITABLE, "no_cem_pair"
        reasons = dict.fromkeys(entry.reason for entry in exam.excluded)
        reason = "; ".join(reasons) or "no image of a contrast-enhanced mammogram"
    return Analysis(
        run=run,
        status=status,
        reason=reason,
        reason_code=code,
        findings=findings,
        excluded=(*exam.excluded, *failed),
        missing=missing,
        headers=headers,
        card=card,
        seconds={},
    )


def report_failure(
    sources: Sequence[Source], run: RunIdentity, card: ModelCard, code: str, reason: str
) -> tuple[Analysis, tuple[ResultObject, ...]]:
    """The report of an exam whose analysis failed again and again; touches no pixel."""
    exam = pair(source.header for source in sources)
    analysis = Analysis(
        run=run,
        status=Status.FAILED,
        reason=reason,
        reason_code=code,
        findings=(),
        excluded=exam.excluded,
        missing=(),
        headers=read_headers(sources),
        card=card,
        seconds={},
    )
    return analysis, encode(analysis)


def _pictures(
    seen: Sequence[_Seen], analysis: Analysis
) -> tuple[tuple[ResultObject, ...], dict[str, Image]]:
    """Two pictures of each view for the page, and by its key one that shows both overlays."""
    pixels = {s.view.pair.recombined.sop_instance_uid: s.view.recombined.pixels for s in seen}
    overlays: tuple[tuple[Role, Overlay], ...] = (
        (Role.PREVIEW, "outline"),
        (Role.HEAT_MAP, "heat_map"),
    )

    def of_view(view: NamedView) -> tuple[list[ResultObject], Image]:
        large = grey_picture(pixels[view.result.pair.recombined.sop_instance_uid])
        small = shrunk(large)
        for_page = [
            ResultObject(role, view.key, "image/png", render(small, view.result, overlay=overlay))
            for role, overlay in overlays
        ]
        lines = picture_lines(view.finding, view.result)
        return for_page, draw(large, view.result, overlay="both", lines=lines)

    views = list(named_views(analysis))
    with ThreadPoolExecutor(max_workers=READ_AHEAD) as pool:
        made = list(pool.map(of_view, views))
    previews = tuple(result for for_page, _ in made for result in for_page)
    return previews, {view.key: picture for view, (_, picture) in zip(views, made, strict=True)}
