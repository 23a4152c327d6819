"""A disk that is too full: A700, said everywhere, and receiving goes on by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.store.disk import GIB, Disk, Room, disk_of
from tests.integration.door import MG, MakeDoor
from tests.web_browser import Browser
from tests.web_builders import Hospital


def image() -> Dataset:
    """As much of a mammogram as the receiver has to take."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = MG
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.1", "1.2.2", "1.2.3"
    ds.PatientID, ds.Modality, ds.AccessionNumber = "P", "MG", "A"
    ds.Rows = ds.Columns = 4
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.PixelData = bytes(32)
    return ds


def test_images_are_refused_until_there_is_room(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = make_door()
    assoc = door.call()
    free = 1 * GIB
    monkeypatch.setattr(
        "dicom_node.store.disk.shutil.disk_usage",
        lambda _folder: type("Usage", (), {"free": free, "total": 100 * GIB})(),
    )
    answer = assoc.send_c_store(image())
    assert answer.Status == 0xA700
    assert "1.0 GiB free, 5.0 GiB are kept free" in answer.ErrorComment
    assert list(door.hospital.archive.objects.glob("*/*")) == []
    free = 6 * GIB
    assert assoc.send_c_store(image()).Status == 0x0000
    assoc.release()
    row = door.row()
    assert (row["objects"], row["refused"], row["code"]) == (1, 1, "objects_refused")
    assert "A700 disk: 1.0 GiB free" in row["advice"]


def test_page_probe_and_metrics_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    settings = {"data_dir": str(folder), "ledger_url": "", "free_min_gb": 1e9}
    hospital = Hospital(folder, extra={"storage": settings})
    browser = Browser(hospital)
    assert "Nothing is received" in browser.page("/").text
    ready = browser.get("/ready")
    assert (ready.status_code, "are kept free" in ready.text) == (503, True)
    metrics = browser.get("/metrics").text
    assert "faps_node_disk_short 1.0" in metrics
    assert "faps_node_disk_free_bytes" in metrics
    hospital.ledger.close()


def test_the_larger_mark_counts(tmp_path: Path) -> None:
    total = Disk(tmp_path, 0, 0).room().total
    assert Disk(tmp_path, 0, 50).room().least == total // 2
    assert Disk(tmp_path, 1, 0).room().least == GIB
    assert Disk(tmp_path / "gone", 0, 0).shortage()
    assert Room(5, 10, 5).shortage == ""


def test_the_settings_hold_the_marks(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path / "data")
    assert disk_of(hospital.settings).room().least == 5 * GIB
    hospital.ledger.close()
