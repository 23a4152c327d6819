"""The spool: an object's bytes as they came, under a head of ours, nothing left of a failure."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from dicom_node.domain.dicom_file import file_head
from dicom_node.store.archive import Archive
from dicom_node.store.spool import EARLY, SpoolFile
from tests.integration.door import Door, MakeDoor
from tests.mammogram_headers import mammogram
from tests.peers import wait_until
from tests.raw_sender import ASSOCIATE_AC, MG, Caller, c_store_rq, encoded, pdv


def test_the_head_is_file_meta_that_a_library_reads() -> None:
    meta = dcmread(BytesIO(file_head(MG, "1.2.3", str(JPEGLSLossless)))).file_meta
    assert meta.MediaStorageSOPClassUID == MG
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == JPEGLSLossless
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.ImplementationVersionName == "FAPS_NODE_0"
    head = file_head(MG, "1.2.3", str(JPEGLSLossless))
    assert meta.FileMetaInformationGroupLength == len(head) - 128 - 4 - 12


def test_a_file_is_what_was_written_and_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    spool = SpoolFile(path, b"head")
    parts = [bytes([number]) * (EARLY // 3 + number) for number in range(7)]
    for part in parts:
        spool.write(memoryview(part))
    content = b"head" + b"".join(parts)
    spool.close()
    assert spool.sha256() == hashlib.sha256(content).hexdigest()
    assert path.read_bytes() == content
    assert (spool.size, path.stat().st_mode & 0o777) == (len(content), 0o600)


def test_a_file_that_is_discarded_is_gone(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path / "a.part", b"head")
    spool.discard()
    spool.discard()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB, for the archive alone."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_answered_and_receiving_goes_on_by_itself(
    small_disk: Path, make_door: MakeDoor
) -> None:
    door = make_door(storage={"free_min_gb": 0})
    large, small = mammogram(shape=(2000, 2000)), mammogram(SOPInstanceUID="1.2.4")
    ballast = small_disk / "ballast"
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        ballast.write_bytes(bytes(2 << 20))
        answer = caller.store(str(large.SOPInstanceUID), [encoded(large)])
        assert (answer.status, answer.comment) == (0xA700, "disk error, try again later")
        assert list(door.hospital.archive.spool.iterdir()) == []
        assert caller.echo() == 0
        assert caller.store("1.2.4", [encoded(small)]).status == 0
        ballast.unlink()
        for file in door.hospital.archive.objects.glob("*/*"):
            file.unlink()
        large = mammogram(shape=(1000, 2000), SOPInstanceUID="1.2.5")
        assert caller.store("1.2.5", [encoded(large)]).status == 0
        caller.release()
    row = door.row()
    assert (row["objects"], row["refused"]) == (2, 1)


@pytest.mark.parametrize("most", [64, 4096, 1 << 20])
def test_bytes_are_kept_as_they_came_whatever_the_pdus(make_door: MakeDoor, most: int) -> None:
    door = make_door(max_pdu_bytes=1 << 20)
    ds = mammogram(shape=(300, 301))
    content = encoded(ds)
    with Caller(door.settings.port, most=most) as caller:
        assert caller.associate() == ASSOCIATE_AC
        assert caller.store(str(ds.SOPInstanceUID), [content]).status == 0
        caller.release()
    file = kept(door)
    head = file_head(MG, str(ds.SOPInstanceUID), "1.2.840.10008.1.2.1")
    assert file.read_bytes() == head + content
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name


def kept(door: Door) -> Path:
    (file,) = wait_until(lambda: list(door.hospital.archive.objects.glob("*/*")), "the file")
    assert isinstance(file, Path)
    return file


@pytest.mark.parametrize(
    ("sop_class", "instance", "status"),
    [
        (MG, "../../etc/passwd", 0xC01A),
        ("", "1.2.3", 0xC01A),
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.3", 0x0122),
    ],
    ids=["path", "no class", "class not accepted"],
)
def test_a_command_that_cannot_be_followed_is_answered_after_its_data(
    make_door: MakeDoor, sop_class: str, instance: str, status: int
) -> None:
    door = make_door()
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        caller.sock.sendall(pdv(c_store_rq(sop_class, instance), command=True))
        caller.sock.sendall(pdv(b"\xff" * 5000, command=False))
        assert caller.answer().status == status
        assert caller.echo() == 0
        caller.release()
    assert list(door.hospital.archive.spool.iterdir()) == []


def test_a_request_without_a_data_set_is_answered(make_door: MakeDoor) -> None:
    door = make_door()
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        caller.sock.sendall(pdv(c_store_rq(MG, "1.2.3", data=0x0101), command=True))
        assert caller.answer().status >> 12 == 0xC
        assert caller.echo() == 0


def test_an_archive_makes_spool_files_on_its_own_disk(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.new_part().parent == archive.spool
