"""Validators of other makers find nothing in the result objects."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.domain.dicom_file import file_bytes
from tests.analysis_builders import WAYS, encoded
from tests.conformance.validators import (
    PIXELMED,
    dcentvfy_complaints,
    dciodvfy_errors,
    dsrdump_complaints,
    find_tool,
    pixelmed_complaints,
    pixelmed_errors,
)
from tests.report_reader import concept
from worker.contracts import Analysis, Role

# Results write blanks where these lack an attribute of Type 2; dcentvfy calls that a difference.
INCOMPLETE_HEADERS = {"a sparse header", "failed without an image"}


def needs_pixelmed(test: Callable[..., None]) -> Callable[..., None]:
    missing = pytest.mark.skipif(not PIXELMED.exists(), reason="Debian's pixelmed-apps is missing")
    return pytest.mark.pixelmed(missing(test))


REPORTS = {Role.SR, Role.SR_IMAGE, Role.SR_2D, Role.SR_IMAGE_2D, Role.CAD_SR}
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


@pytest.mark.parametrize("way", [way for way in WAYS if way not in INCOMPLETE_HEADERS])
def test_results_and_images_agree_on_patient_and_study(way: str, tmp_path: Path):
    files = _with_images(WAYS[way], tmp_path)
    assert len(files) > 2
    assert dcentvfy_complaints(files) == []


def test_dcentvfy_does_complain_when_there_is_a_reason(tmp_path: Path):
    files = _with_images(WAYS["partial"], tmp_path)
    ds = dcmread(files[0])
    ds.PatientBirthDate = "19000101"
    ds.save_as(files[0])
    assert any("PatientBirthDate" in line for line in dcentvfy_complaints(files))


@pytest.mark.slow
@needs_pixelmed
@pytest.mark.parametrize("way", ["positive one breast", "two lesions", "negative", "failed"])
def test_pixelmed_finds_every_item_of_the_cad_report_in_its_template(way: str, tmp_path: Path):
    (file,) = _written(WAYS[way], tmp_path, {Role.CAD_SR})
    assert pixelmed_complaints(file) == []


@pytest.mark.slow
@needs_pixelmed
@pytest.mark.parametrize("way", ["positive one breast", "failed"])
def test_pixelmed_finds_no_error_in_the_tid_1500_report(way: str, tmp_path: Path):
    """It does warn: TID 1500 is extensible, and the breasts' groups are such an extension."""
    (file,) = _written(WAYS[way], tmp_path, {Role.SR})
    assert pixelmed_errors(file) == []


@pytest.mark.slow
@needs_pixelmed
def test_pixelmed_does_find_an_error_when_there_is_one(tmp_path: Path):
    (file,) = _written(WAYS["positive one breast"], tmp_path, {Role.CAD_SR})
    ds = dcmread(file)
    ds.ContentSequence = [item for item in ds.ContentSequence if concept(item) != "111064"]
    ds.save_as(file)
    assert any("Summary of Detections" in line for line in pixelmed_errors(file))


def _with_images(analysis: Analysis, folder: Path) -> list[Path]:
    """Every result object, then the headers of the images as files."""
    files = _written(analysis, folder, set(Role))
    for number, ds in enumerate(analysis.headers):
        files.append(folder / f"image-{number}.dcm")
        files[-1].write_bytes(file_bytes(deepcopy(ds)))
    return files


def _written(analysis: Analysis, folder: Path, roles: set[Role]) -> list[Path]:
    files = []
    for result in encoded(analysis):
        if result.role in roles and result.media_type == "application/dicom":
            files.append(folder / f"{result.role.value}-{result.key}.dcm")
            files[-1].write_bytes(result.content)
    return files
