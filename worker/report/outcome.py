"""How an exam ended, as the codes of every report."""

from __future__ import annotations

from pydicom.sr.coding import Code

from worker.contracts import Analysis, Status
from worker.report import codes

_SUMMARIES = {  # (is complete, has a finding) -> CID 6047
    (True, False): codes.ALL_WITHOUT_FINDINGS,
    (True, True): codes.ALL_WITH_FINDINGS,
    (False, False): codes.SOME_WITHOUT_FINDINGS,
    (False, True): codes.SOME_WITH_FINDINGS,
}


def summary(*, found: bool, complete: bool) -> Code:
    """CID 6047 for what was analysed."""
    return _SUMMARIES[complete, found]


def exam_summary(analysis: Analysis) -> Code:
    """CID 6047 for the exam; one of which no breast was analysed is never one without findings."""
    if not analysis.findings:
        return codes.NONE_SUCCEEDED
    found = any(view.lesions for finding in analysis.findings for view in finding.views)
    return summary(found=found, complete=analysis.status is Status.COMPLETE)
