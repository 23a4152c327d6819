"""Validators of other makers find nothing in the result objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from tests.analysis_builders import WAYS, encoded
from tests.conformance.validators import dciodvfy_errors, dsrdump_complaints, find_tool
from worker.contracts import Analysis, Role

REPORTS = {Role.SR, Role.SR_IMAGE, Role.SR_2D, Role.SR_IMAGE_2D}
OBJECTS = set(Role) - {Role.PREVIEW, Role.HEAT_MAP, Role.ANALYSIS}


@pytest.mark.parametrize("way", WAYS)
def test_dciodvfy_finds_no_error_in_any_result_object(way: str, tmp_path: Path):
    for file in _written(WAYS[way], tmp_path, OBJECTS):
        assert dciodvfy_errors(file) == [], file.name


@pytest.mark.dcmtk
@pytest.mark.skipif(find_tool("dsrdump") is None, reason="Debian's dcmtk is not installed")
@pytest.mark.parametrize("way", WAYS)
def test_dsrdump_reads_every_report_without_a_complaint(way: str, tmp_path: Path):
    for file in _written(WAYS[way], tmp_path, REPORTS):
        assert dsrdump_complaints(file) == [], file.name


def test_dciodvfy_does_find_an_error_when_there_is_one(tmp_path: Path):
    (file,) = _written(WAYS["partial"], tmp_path, {Role.SEG})
    ds = dcmread(file)
    del ds.SegmentSequence
    ds.save_as(file)
    assert any("SegmentSequence" in line for line in dciodvfy_errors(file))


@pytest.mark.dcmtk
@pytest.mark.skipif(find_tool("dsrdump") is None, reason="Debian's dcmtk is not installed")
def test_dsrdump_does_complain_when_there_is_a_reason(tmp_path: Path):
    (file,) = _written(WAYS["failed"], tmp_path, {Role.SR})
    ds = dcmread(file)
    del ds.ContentSequence[0].RelationshipType
    ds.save_as(file)
    assert dsrdump_complaints(file) != []


def _written(analysis: Analysis, folder: Path, roles: set[Role]) -> list[Path]:
    files = []
    for result in encoded(analysis):
        if result.role in roles:
            files.append(folder / f"{result.role.value}-{result.key}.dcm")
            files[-1].write_bytes(result.content)
    return files
