"""The list of exams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dicom_node.domain.study import StudyState
from dicom_node.store.ledger import Ledger
from dicom_node.store.overview import StudyLine, StudySheet
from dicom_node.web.grid import ExamGrid, exam_grid
from dicom_node.web.parcels import Tally, tallies
from dicom_node.web.record import Breast
from dicom_node.web.records import RecordShelf
from dicom_node.web.words import STATES, StateWords, Tone

SHOWN = 50
SETTLED_FOR_S = 30.0  # a settled exam changes only by a person's wish: look again after that


@dataclass(frozen=True, kw_only=True)
class ExamRow:
    """One exam in the list."""

    line: StudyLine
    words: StateWords
    reason: str
    grid: ExamGrid
    breasts: tuple[Breast, ...]
    tallies: tuple[Tally, ...]
    superseded: bool  # the finding is older than the newest images

    @property
    def tone(self) -> Tone:
        """Of the state, unless a destination refuses or holds: that asks for a person anyway."""
        if any(tally.refused for tally in self.tallies):
            return "bad"
        asks = any(tally.held or tally.replaced for tally in self.tallies)
        return "warn" if asks and self.words.tone in {"work", "good"} else self.words.tone


class ExamList:
    """Rows of exams; those that have settled are kept for a while, as most of a list has."""

    def __init__(
        self,
        ledger: Ledger,
        shelf: RecordShelf,
        expected: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._expected = tuple(expected)
        self._clock = clock
        self._settled: dict[str, tuple[float, ExamRow]] = {}
        self._lock = threading.Lock()

    def newest(self) -> list[ExamRow]:
        """The newest exams first."""
        lines = self._ledger.overview.studies(SHOWN)
        self._forget_all_but({line.study_instance_uid for line in lines})
        return [row for row in map(self._row, lines) if row is not None]

    def found(self, text: str) -> list[ExamRow]:
        """Exams whose UID, accession number or Patient ID is ``text``."""
        sheets = (self._sheet(uid) for uid in self._ledger.overview.find(text)[:SHOWN])
        return [self._build(sheet) for sheet in sheets if sheet is not None]

    def _row(self, line: StudyLine) -> ExamRow | None:
        now = self._clock()
        with self._lock:
            read_at, kept = self._settled.get(line.study_instance_uid, (0.0, None))
        if kept is not None and kept.line == line and now - read_at < SETTLED_FOR_S:
            return kept
        sheet = self._sheet(line.study_instance_uid)
        if sheet is None:
            return None
        row = self._build(sheet)
        if _is_settled(row):
            with self._lock:
                self._settled[line.study_instance_uid] = (now, row)
        return row

    def _sheet(self, uid: str) -> StudySheet | None:
        return self._ledger.overview.sheet(uid, self._expected)

    def _build(self, sheet: StudySheet) -> ExamRow:
        line = sheet.line
        job_id = sheet.jobs[-1]["id"] if sheet.jobs else ""
        record, problem = self._shelf.of_job(job_id, sheet.artefacts)
        sent = tallies(row for row in sheet.deliveries if row["job_id"] == job_id)
        late = next((t.complaint for t in sent if t.trouble), "")
        return ExamRow(
            line=line,
            words=STATES[line.state],
            reason=line.reason or late or problem or (record.reason if record else ""),
            grid=exam_grid(sheet.cells),
            breasts=record.breasts if record is not None else (),
            tallies=sent,
            superseded=bool(job_id) and line.state == StudyState.OPEN.value,
        )

    def _forget_all_but(self, shown: set[str]) -> None:
        with self._lock:
            for uid in self._settled.keys() - shown:
                del self._settled[uid]


def _is_settled(row: ExamRow) -> bool:
    """Whether nothing is going on any more: every delivery has ended, for good or not."""
    if row.words.tone == "work":
        return False
    return all(tally.settled for tally in row.tallies)
