"""``dicom-node demo``: the README's first command, for one exam."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from tests.conformance.validators import dciodvfy_errors
from tests.peers import from_scratch


def test_one_exam_comes_back_confirmed_and_valid(tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = str(tmp_path / "data")
    result = from_scratch("dicom_node", "demo", "--once", "--out", str(out), "--data", data)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "is confirmed" in result.stdout
    assert "not for diagnosis" in result.stdout
    assert "last result in the PACS" in result.stdout
    objects = [dcmread(path) for path in out.glob("*.dcm")]
    classes = [ds.SOPClassUID for ds in objects]
    assert classes.count(Comprehensive3DSRStorage) == 1
    assert classes.count(SegmentationStorage) >= 1
    for path in out.glob("*.dcm"):
        assert dciodvfy_errors(path) == []
