"""A report of a later revision names the report whose place it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.analysis_builders import WAYS
from tests.conformance.validators import dciodvfy_errors
from worker.contracts import REPORTS, Analysis, Predecessor, ResultObject, Role
from worker.report.encode import encode


def predecessor(result: ResultObject) -> Predecessor:
    """What the desk reads out of a stored report."""
    ds = dcmread(BytesIO(result.content))
    return Predecessor(
        role=result.role.value,
        key=result.key,
        study_instance_uid=ds.StudyInstanceUID,
        series_instance_uid=ds.SeriesInstanceUID,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
    )


def revised(made: Analysis, before: tuple[ResultObject, ...]) -> Analysis:
    """The same exam analysed again."""
    reports = tuple(predecessor(result) for result in before if result.role in REPORTS)
    return replace(made, run=replace(made.run, revision=2, predecessors=reports))


def named(ds: Dataset) -> Iterator[tuple[str, str, str, str]]:
    """Study, series, class and instance of each predecessor."""
    for study in ds.get("PredecessorDocumentsSequence", []):
        for series in study.ReferencedSeriesSequence:
            for one in series.ReferencedSOPSequence:
                yield (
                    study.StudyInstanceUID,
                    series.SeriesInstanceUID,
                    one.ReferencedSOPClassUID,
                    one.ReferencedSOPInstanceUID,
                )


@pytest.mark.parametrize("way", ["positive both breasts", "negative", "failed"])
def test_each_report_names_the_one_before_of_its_role_and_key(way: str, tmp_path: Path) -> None:
    first = encode(WAYS[way])
    again = revised(WAYS[way], first)
    second = encode(again)
    assert encode(again) == second
    before = {
        (one.role, one.key): dcmread(BytesIO(one.content)) for one in first if one.sop_class_uid
    }
    reports = [one for one in second if one.role in REPORTS]
    assert Role.SR in {one.role for one in reports}
    for result in reports:
        ds, old = dcmread(BytesIO(result.content)), before[result.role, result.key]
        assert list(named(ds)) == [
            (old.StudyInstanceUID, old.SeriesInstanceUID, old.SOPClassUID, old.SOPInstanceUID)
        ]
        assert ds.SOPInstanceUID != old.SOPInstanceUID
        file = tmp_path / f"{result.role.value}-{result.key}.dcm"
        file.write_bytes(result.content)
        assert dciodvfy_errors(file) == []


def test_other_objects_and_first_revisions_name_none() -> None:
    made = WAYS["positive both breasts"]
    first = encode(made)
    others = [one for one in encode(revised(made, first)) if one.role not in REPORTS]
    for result in (*first, *others):
        if result.sop_class_uid:
            assert "PredecessorDocumentsSequence" not in dcmread(BytesIO(result.content))


def test_a_report_without_its_like_in_the_revision_before_names_none() -> None:
    made = WAYS["negative"]
    stranger = replace(predecessor(next(r for r in encode(made) if r.role is Role.SR)), key="R-CC")
    run = replace(made.run, revision=2, predecessors=(stranger,))
    (report,) = (one for one in encode(replace(made, run=run)) if one.role is Role.SR)
    assert "PredecessorDocumentsSequence" not in dcmread(BytesIO(report.content))
