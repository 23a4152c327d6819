r"""The analysis as JSON, for the page, the command line, research.

Keys::

    schema             "faps-analysis/1"; the number changes when a key changes its meaning
    notice             "Research use, not for diagnosis"
    study_instance_uid, input_hash, revision, profile, created_at (ISO 8601 with offset)
    status             "complete" | "partial" | "unsuitable" | "failed"
    reason             sentence, "" when complete; reason_code: code, "" when complete
    conclusion         the sentences of the report; limitations: list of sentences
    missing            list of sentences, such as "R MLO: low-energy image"
    excluded           list of {sop_instance_uid, code, reason}
    seconds            {stage: seconds}, in order
    model              {name, version, uuid, sha256, family, thresholds, statement,
                        clinical, signed}
    findings           one per breast: {laterality "L" | "R", p_malignant [0, 1] or null,
                        decision "malignant" | "benign" | "indeterminate" | "not_assessed" |
                        "no_lesion", gate (null or {code, text}: why there is no probability, or
                        why it is not to be relied on),
                        assistance (null without a radiologist's category) {category,
                        suggestion "consider lower" | "no change" | "consider higher" | null,
                        lower_below, higher_from [0, 1], text}, views}
    findings[].views   {key "R-CC", view "CC", gate, spacing_mm [row, column] or null,
                        spacing_rule, low_energy_sop_instance_uid,
                        recombined_sop_instance_uid, rows, columns, pairing {evidence, weak},
                        has_heat_map, seg_sop_instance_uid or null, lesions}
    ...views[].lesions {number (also the segment number, from 1), tracking_id, tracking_uid,
                        area_mm2, long_axis_mm (null without spacing), long_axis (two points),
                        area_px, peak_probability [0, 1], outline (closed list of points)}
    results            list of {role, key, sop_class_uid, sop_instance_uid, bytes}

Points are [column, row] in source pixels of the recombined image, 0\0 at the top left corner
of its first pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from worker.contracts import Analysis, Finding, Lesion, ModelCard, ResultObject
from worker.report.identity import NamedView, named_views, tracking
from worker.report.outline import thin
from worker.report.wording import RESEARCH_USE, assistance_text, conclusion, limitations

SCHEMA = "faps-analysis/1"


def record(analysis: Analysis, results: Iterable[ResultObject]) -> bytes:
    """UTF-8 JSON of ``analysis`` with the UIDs of its DICOM ``results``; names no patient."""
    results = list(results)
    segs = {result.key: result.sop_instance_uid for result in results if result.role.value == "seg"}
    views = list(named_views(analysis))
    fields = {
        "schema": SCHEMA,
        "notice": RESEARCH_USE,
        **_outcome(analysis),
        "model": _model(analysis.card),
        "findings": [
            _finding(analysis, finding, [view for view in views if view.finding is finding], segs)
            for finding in analysis.findings
        ],
        "results": [_result(result) for result in results],
    }
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _outcome(analysis: Analysis) -> dict[str, Any]:
    """Which run of which study it was, and how it ended."""
    run = analysis.run
    return {
        "study_instance_uid": run.study_instance_uid,
        "input_hash": run.input_hash,
        "revision": run.revision,
        "profile": run.profile,
        "created_at": run.created_at.isoformat(),
        "status": analysis.status.value,
        "reason": analysis.reason,
        "reason_code": analysis.reason_code,
        "conclusion": conclusion(analysis),
        "limitations": list(limitations(analysis)),
        "missing": list(analysis.missing),
        "excluded": [
            {"sop_instance_uid": e.sop_instance_uid, "code": e.code, "reason": e.reason}
            for e in analysis.excluded
        ],
        "seconds": {stage: float(seconds) for stage, seconds in analysis.seconds.items()},
    }


def _model(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "version": card.version,
        "uuid": card.uuid,
        "sha256": card.sha256,
        "family": card.family,
        "thresholds": {name: float(value) for name, value in sorted(card.thresholds.items())},
        "statement": card.statement,
        "clinical": card.clinical,
        "signed": card.signed,
    }


def _finding(
    analysis: Analysis, finding: Finding, views: list[NamedView], segs: dict[str, str]
) -> dict[str, Any]:
    return {
        "laterality": finding.laterality,
        "p_malignant": _number(finding.p_malignant),
        "decision": finding.decision,
        "gate": None if finding.gate is None else vars(finding.gate),
        "assistance": None
        if finding.assistance is None
        else {**vars(finding.assistance), "text": assistance_text(finding)},
        "views": [_view(analysis, view, segs.get(view.key)) for view in views],
    }


def _view(analysis: Analysis, view: NamedView, seg_uid: str | None) -> dict[str, Any]:
    result = view.result
    return {
        "key": view.key,
        "view": result.pair.view,
        "gate": result.gate,
        "spacing_mm": None if result.spacing_mm is None else [float(v) for v in result.spacing_mm],
        "spacing_rule": result.spacing_rule,
        "low_energy_sop_instance_uid": str(result.low_energy.SOPInstanceUID),
        "recombined_sop_instance_uid": str(result.recombined.SOPInstanceUID),
        "rows": int(result.recombined.Rows),
        "columns": int(result.recombined.Columns),
        "pairing": {"evidence": result.pair.evidence, "weak": result.pair.weak},
        "has_heat_map": result.heat_map is not None,
        "seg_sop_instance_uid": seg_uid,
        "lesions": [
            _lesion(analysis, view, number, lesion)
            for number, lesion in enumerate(result.lesions, start=1)
        ],
    }


def _lesion(analysis: Analysis, view: NamedView, number: int, lesion: Lesion) -> dict[str, Any]:
    identifier, uid = tracking(analysis, view, number)
    image = view.result.recombined
    outline = thin(lesion.outline, (int(image.Rows), int(image.Columns)))
    return {
        "number": number,
        "tracking_id": identifier,
        "tracking_uid": uid,
        "area_mm2": _number(lesion.area_mm2),
        "long_axis_mm": _number(lesion.long_axis_mm),
        "long_axis": [[round(float(v), 2) for v in point] for point in lesion.long_axis],
        "area_px": int(lesion.area_px),
        "peak_probability": float(lesion.peak_probability),
        "outline": [[round(float(v), 2) for v in point] for point in outline],
    }


def _result(result: ResultObject) -> dict[str, Any]:
    return {
        "role": result.role.value,
        "key": result.key,
        "sop_class_uid": result.sop_class_uid,
        "sop_instance_uid": result.sop_instance_uid,
        "bytes": len(result.content),
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
