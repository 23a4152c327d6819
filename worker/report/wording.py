"""Sentences that people read in the result objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dicom_node.domain import plain
from worker.contracts import Analysis, Finding, ModelCard, Status, ViewResult

RESEARCH_USE = plain.RESEARCH_USE
ascii_text = plain.ascii_text
long_string = plain.long_string
NOT_REVIEWED = "(not reviewed)"
_NOT_NEGATIVE = "This is not a negative result."
SIDE_NAMES = {"R": "Right breast", "L": "Left breast"}

_USUAL_VIEWS = 2  # CC and MLO decide together
_SPACING_RULES = {
    "calibrated": "use the calibrated pixel spacing of the image",
    "magnification": "are corrected by the estimated radiographic magnification factor",
    "uncorrected": "are uncorrected for magnification, thus larger than in the breast",
}


def count(number: int, noun: str) -> str:
    """``"1 lesion"``, ``"2 lesions"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(probability: float) -> str:
    """A probability in [0, 1] as percent with one decimal, the precision of every output."""
    return f"{100 * probability:.1f}"


def doubt(finding: Finding) -> str:
    """Why there is no probability, or why it is not to be relied on, in a few words for a picture.

    Empty where nothing speaks against it.
    """
    if finding.gate is None:
        return ""
    why = ascii_text(finding.gate.code.replace("_", " "))
    if finding.p_malignant is None:
        return f"No probability is given: {why}"
    return f"Probability not to be relied on: {why}"


def picture_lines(finding: Finding, view: ViewResult) -> list[str]:
    """What a picture of one view says of its breast; nothing where the view shows no lesion."""
    if not view.lesions:
        return []
    p = finding.p_malignant
    lines = [] if p is None else [f"Probability of malignancy {percent(p)} %"]
    against = doubt(finding)
    return [*lines, against] if against else lines


def headline(analysis: Analysis) -> str:
    """The outcome in a few words, for the list of series."""
    if not analysis.findings:
        return "could not be analysed"
    parts = []
    for finding in analysis.findings:
        number = sum(len(view.lesions) for view in finding.views)
        parts.append(f"{finding.laterality} {count(number, 'mark') if number else 'no finding'}")
    words = ", ".join(parts)
    # First: lists of series cut long names off.
    return f"incomplete, {words}" if analysis.status is Status.PARTIAL else words


def conclusion(analysis: Analysis) -> str:
    """What was found, or that and why nothing can be said."""
    reason = sentence(analysis.reason or "no reason was recorded")
    if analysis.status in {Status.UNSUITABLE, Status.FAILED}:
        cause = (
            "it is not suitable" if analysis.status is Status.UNSUITABLE else "an error occurred"
        )
        return f"This exam could not be analysed, as {cause}: {reason} {_NOT_NEGATIVE}"
    parts = [words for finding in analysis.findings for words in _of_breast(finding)]
    if analysis.status is Status.PARTIAL:
        parts.insert(0, f"The analysis is incomplete: {reason}")
    if not analysis.findings:
        parts.append(f"No breast was analysed. {_NOT_NEGATIVE}")
    return " ".join(parts)


def sentence(words: str) -> str:
    """``words`` in ASCII with a full stop."""
    plain = ascii_text(words)
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."


def views_text(finding: Finding) -> str:
    """``"CC, MLO"``."""
    return ", ".join(ascii_text(view.pair.view) for view in finding.views)


def _of_breast(finding: Finding) -> Iterator[str]:
    yield _found(finding)
    if finding.assistance is not None:
        yield assistance_text(finding)


def assistance_text(finding: Finding) -> str:
    """What the result suggests for the radiologist's category; empty where none is known."""
    given = finding.assistance
    if given is None:
        return ""
    side, category = SIDE_NAMES[finding.laterality], ascii_text(given.category)
    if given.suggestion is None or finding.p_malignant is None:
        why = "no lesion found" if finding.decision == "no_lesion" else "no probability is given"
        return f"{side}: {why}, so nothing is suggested for BI-RADS {category}."
    return (
        f"{side}: suggestion for the radiologist's BI-RADS {category}: {given.suggestion} "
        f"(probability {percent(finding.p_malignant)} %; lower below {percent(given.lower_below)} %"
        f", higher from {percent(given.higher_from)} %). The category remains the radiologist's."
    )


def _found(finding: Finding) -> str:
    side = SIDE_NAMES[finding.laterality]
    found = [
        f"{count(len(view.lesions), 'lesion')} in {ascii_text(view.pair.view)}"
        for view in finding.views
        if view.lesions
    ]
    if not found:
        return f"{side} ({views_text(finding)}): no lesion found."
    words = f"{side}: {', '.join(found)}"
    if finding.p_malignant is None and finding.gate is not None:
        return f"{words}; no probability is given: {sentence(finding.gate.text)}"
    if finding.p_malignant is not None:
        words += f"; probability of malignancy {percent(finding.p_malignant)} %"
    return f"{words}; assessment of the model: {ascii_text(finding.decision)}."


def limitations(analysis: Analysis) -> Iterator[str]:
    """What a reader must know before relying on the result, one sentence each."""
    yield f"{RESEARCH_USE}. This result was made by software and not reviewed by a radiologist."
    yield from _of_model(analysis.card)
    yield from _of_images(analysis)
    for finding in analysis.findings:
        if len({view.pair.view for view in finding.views}) < _USUAL_VIEWS:
            yield (
                f"{SIDE_NAMES[finding.laterality]}: only {views_text(finding)} was analysed; "
                "the model is meant for CC and MLO together."
            )
        if finding.gate is not None and finding.p_malignant is not None:
            yield f"{SIDE_NAMES[finding.laterality]}: {sentence(finding.gate.text)}"
        yield from _found_in_some(finding)
        for view in finding.views:
            yield from _of_view(view)
    if analysis.findings:
        for side in sorted(SIDE_NAMES.keys() - {f.laterality for f in analysis.findings}):
            yield f"{SIDE_NAMES[side]}: not analysed. Nothing is said about this breast."
    if analysis.run.revision > 1:
        yield (
            f"Revision {analysis.run.revision} of the results of this study: it takes the place "
            "of earlier ones."
        )


def _found_in_some(finding: Finding) -> Iterator[str]:
    """A lesion is expected in both views: what one of them alone shows may be none."""
    found = [ascii_text(view.pair.view) for view in finding.views if view.lesions]
    empty = [ascii_text(view.pair.view) for view in finding.views if not view.lesions]
    if found and empty:
        yield (
            f"{SIDE_NAMES[finding.laterality]}: a lesion was found in {', '.join(found)} and none "
            f"in {', '.join(empty)}."
        )


def _of_images(analysis: Analysis) -> Iterator[str]:
    lossy = sum(str(ds.get("LossyImageCompression") or "") == "01" for ds in analysis.headers)
    if lossy:
        yield f"{count(lossy, 'image')} had been compressed with loss before the analysis."
    for missing in analysis.missing:
        yield f"Missing: {sentence(missing)}"
    for reason, number in Counter(sentence(e.reason) for e in analysis.excluded).items():
        yield f"{count(number, 'image')} not analysed: {reason}"


def _of_model(card: ModelCard) -> Iterator[str]:
    if card.statement:
        yield f"Model {ascii_text(f'{card.name} {card.version}')}: {sentence(card.statement)}"
    if not card.clinical:
        yield "The model has not been validated for clinical use."
    if not card.signed:
        yield "The model bundle is not signed: its origin has not been verified."


def _of_view(view: ViewResult) -> Iterator[str]:
    name = view.pair.name
    if view.pair.weak:
        yield (
            f"{name}: low-energy and recombined image were paired on weak evidence: "
            f"{sentence(view.pair.evidence)}"
        )
    if not view.lesions:
        return
    if view.spacing_mm is None:
        yield f"{name}: no sizes in millimetres are given, as the image has no pixel spacing."
        return
    rule = _SPACING_RULES.get(view.spacing_rule, f"are by the rule {view.spacing_rule!r}")
    yield (
        f"{name}: sizes {rule}; pixel spacing {view.spacing_mm[0]:.6g} x {view.spacing_mm[1]:.6g}"
        " mm (row, column)."
    )
