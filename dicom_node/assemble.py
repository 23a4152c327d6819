"""Open studies turned into jobs when their exam is complete."""

from __future__ import annotations

from collections.abc import Callable

from dicom_node.domain.study import CompletenessRule, Verdict, judge
from dicom_node.logs import logger
from dicom_node.store.ledger import Ledger

LOOK_S = 1.0


class Assembler:
    """Judges every open study and closes those that are ready."""

    def __init__(self, ledger: Ledger, rule: CompletenessRule, made: Callable[[], None]) -> None:
        self._ledger = ledger
        self._rule = rule
        self._made = made
        self._log = logger("assemble")

    def tick(self) -> float:
        """Look at all open studies once; seconds until the next look."""
        studies, now = self._ledger.studies.open_studies()
        pause = LOOK_S
        for study in studies:
            judgement = judge(study.arrival, self._rule, now)
            if judgement.verdict is Verdict.WAIT:
                if judgement.look_again_at is not None:
                    pause = min(pause, max(0.05, judgement.look_again_at - now))
                continue
            job = self._ledger.studies.close(study, judgement)
            self._log.info(
                "study closed",
                study=study.study_instance_uid,
                job=job,
                state=judgement.verdict.value,
                reason=judgement.reason,
            )
            if job is not None:
                self._made()
        return pause
