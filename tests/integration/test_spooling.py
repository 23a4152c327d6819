"""The spool: an object's bytes as they came, under a head of ours, nothing left of a failure."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from dicom_node.domain.dicom_file import file_head
from dicom_node.store.archive import Archive
from dicom_node.store.blocks import BLOCK
from dicom_node.store.spool import CACHED, EARLY, SpoolFile
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


SIZES = (5, CACHED, CACHED + 1, CACHED + BLOCK, CACHED + BLOCK + 4095, EARLY + 3 * BLOCK + 17)


def content_of(size: int) -> bytes:
    """Bytes of which no page is like another."""
    return Random(size).randbytes(size)  # noqa: S311 - no secret


def fill(spool: SpoolFile, content: bytes, portion: int) -> None:
    """Write content as the wire brings it, after the head of five bytes."""
    for start in range(5, len(content), portion):
        spool.write(memoryview(content)[start : start + portion])


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "page cache"])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_what_was_written_and_its_hash(
    tmp_path: Path, size: int, *, direct: bool
) -> None:
    path, content = tmp_path / "a.part", content_of(size)
    spool = SpoolFile(path, content[:5], direct=direct)
    fill(spool, content, 384 * 1024 - 7)
    assert spool.finish() == hashlib.sha256(content).hexdigest()
    assert path.read_bytes() == content
    assert (spool.size, path.stat().st_mode & 0o777) == (len(content), 0o600)


def test_a_large_file_takes_no_room_from_what_the_machine_remembers(tmp_path: Path) -> None:
    path, content = tmp_path / "a.part", content_of(8 * BLOCK + 9)
    spool = SpoolFile(path, content[:5])
    fill(spool, content, 300_000)
    spool.finish()
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system knows the page cache alone")
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    resident = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert CACHED <= int(resident) < 3 * BLOCK


def test_large_files_that_come_at_once_keep_apart(tmp_path: Path) -> None:
    contents = [content_of(CACHED + number * BLOCK + 99) for number in (9, 4, 6)]
    spools = [
        SpoolFile(tmp_path / f"{number}.part", content[:5])
        for number, content in enumerate(contents)
    ]
    begun = 5
    while spools:
        for spool, content in list(zip(spools, contents, strict=True)):
            spool.write(memoryview(content)[begun : begun + 300_000])
            if begun + 300_000 >= len(content):
                assert spool.finish() == hashlib.sha256(content).hexdigest()
                assert spool.path.read_bytes() == content
                spools.remove(spool)
                contents.remove(content)
        begun += 300_000


def test_a_block_is_handed_back_once(tmp_path: Path) -> None:
    content, other = content_of(CACHED + BLOCK + 99), content_of(CACHED + BLOCK + 100)
    # Two that are under way hold what was handed back before.
    held = [SpoolFile(tmp_path / f"{number}.part", content[:5]) for number in range(2)]
    for spool in held:
        fill(spool, content[: CACHED + 10], 300_000)
    done, broken = (SpoolFile(tmp_path / f"{name}.part", content[:5]) for name in "db")
    fill(done, content, 300_000)
    done.finish()
    fill(broken, content[: CACHED + 10], 300_000)
    for spool in (done, broken, broken):  # as an association's end does once more
        spool.discard()
    first, second = (SpoolFile(tmp_path / f"{name}.part", content[:5]) for name in "xy")
    first.write(memoryview(content)[5 : CACHED + 1000])
    second.write(memoryview(other)[5 : CACHED + 1000])
    for spool, whole in ((first, content), (second, other)):
        spool.write(memoryview(whole)[CACHED + 1000 :])
        spool.finish()
    assert first.path.read_bytes() == content
    assert second.path.read_bytes()[5:] == other[5:]
    for spool in held:
        spool.discard()


@pytest.mark.parametrize("error", [MemoryError, OSError], ids=["memory", "disk"])
def test_whatever_a_write_ends_with_nothing_is_left_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    content = content_of(CACHED + 9 * BLOCK)
    spool = SpoolFile(tmp_path / "a.part", content[:5])
    files = len(list(Path("/proc/self/fd").iterdir()))
    spool.write(memoryview(content)[5 : CACHED + 10])

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(SpoolFile, "_put_some", fail)
    with pytest.raises(error):
        fill(spool, content[CACHED + 5 :], 300_000)
    monkeypatch.undo()
    spool.discard()
    assert not list(tmp_path.iterdir())
    assert len(list(Path("/proc/self/fd").iterdir())) == files - 1
    alone = SpoolFile(tmp_path / "b.part", content[:5])
    fill(alone, content, 300_000)
    assert alone.finish() == hashlib.sha256(content).hexdigest()


def test_a_file_that_comes_slowly_is_no_leftover(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    spool = SpoolFile(archive.new_part(), b"head")
    spool.write(memoryview(bytes(CACHED + 1000)))
    os.utime(spool.path, (1, 1))  # as if its last whole block had come long ago
    assert (archive.leftovers(60.0), archive.sweep(60.0)) == ([], 0)
    spool.finish()
    os.utime(spool.path, (1, 1))
    assert archive.sweep(60.0) == 1


def test_a_disk_that_wants_larger_pages_gets_the_file_through_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.store.spool.CACHED", 1000)  # every block begins within a page
    content = content_of(3 * BLOCK)
    spool = SpoolFile(tmp_path / "a.part", content[:5])
    fill(spool, content, 100_000)
    assert spool.finish() == hashlib.sha256(content).hexdigest()
    assert spool.path.read_bytes() == content


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
