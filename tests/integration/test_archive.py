"""Files kept under the hash of their content."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicom_node.errors import ArchiveError
from dicom_node.store.archive import Archive
from dicom_node.store.files import sha256_of

CONTENT = b"DICM" * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def _spooled(archive: Archive, content: bytes = CONTENT) -> Path:
    part = archive.new_part()
    part.write_bytes(content)
    return part


def test_what_is_put_is_read_again_under_its_hash(archive: Archive) -> None:
    assert archive.put(CONTENT) == HASH
    assert archive.read(HASH) == CONTENT
    assert archive.path(HASH) == archive.objects / HASH[:2] / HASH
    assert sha256_of(archive.path(HASH)) == HASH
    assert list(archive.spool.iterdir()) == []


def test_the_same_content_again_changes_nothing(archive: Archive) -> None:
    archive.put(CONTENT)
    before = archive.path(HASH).stat()
    assert archive.put(CONTENT) == HASH
    assert archive.adopt(_spooled(archive), HASH) == archive.path(HASH)
    after = archive.path(HASH).stat()
    assert after.st_ino == before.st_ino
    assert archive.read(HASH) == CONTENT
    assert list(archive.spool.iterdir()) == []


def test_a_finished_spool_file_is_moved_not_copied(archive: Archive) -> None:
    part = _spooled(archive)
    inode = part.stat().st_ino
    assert archive.adopt(part, HASH).stat().st_ino == inode
    assert not part.exists()


def test_many_at_once_put_the_same_content_once(archive: Archive) -> None:
    barrier = threading.Barrier(8)

    def put(_: int) -> str:
        barrier.wait()
        return archive.put(CONTENT)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(put, range(8))) == {HASH}
    assert [file for file in archive.objects.rglob("*") if file.is_file()] == [archive.path(HASH)]
    assert list(archive.spool.iterdir()) == []


def test_a_flipped_byte_is_found_and_the_file_is_named(archive: Archive) -> None:
    archive.put(CONTENT)
    path = archive.path(HASH)
    damaged = bytearray(CONTENT)
    damaged[7] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ArchiveError, match=re.escape(f"content has changed; restore {path}")):
        archive.read(HASH)


def test_files_lie_where_a_backup_looks_for_them(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "new" / "data")
    archive.put(CONTENT)
    assert archive.path(HASH) == tmp_path / "new" / "data" / "objects" / HASH[:2] / HASH
    part = archive.new_part()
    assert part.parent == tmp_path / "new" / "data" / "spool"
    assert archive.quarantine == tmp_path / "new" / "data" / "quarantine"
    assert re.fullmatch(r"[0-9a-f]{32}\.part", part.name)


def test_errors_name_the_object_by_the_first_of_its_hash(archive: Archive) -> None:
    missing = f"^object {HASH[:12]}…: No such file"
    with pytest.raises(ArchiveError, match=missing):
        archive.read(HASH)
    archive.put(CONTENT)
    archive.path(HASH).write_bytes(b"other")
    with pytest.raises(ArchiveError, match=f"^object {HASH[:12]}…: content has changed"):
        archive.read(HASH)
    with pytest.raises(ArchiveError, match=f"^object {HASH[:12]}… cannot be kept: No such file"):
        archive.adopt(archive.spool / "gone.part", HASH)
    with pytest.raises(ArchiveError, match=f"^'{'x' * 80}' is no SHA-256"):
        archive.path("x" * 100)


def test_what_was_just_written_is_left_over_unless_an_age_is_given(archive: Archive) -> None:
    part = _spooled(archive)
    assert archive.leftovers() == [part]
    assert archive.leftovers(older_than_s=60) == []


def test_a_missing_file_is_named(archive: Archive) -> None:
    with pytest.raises(ArchiveError, match=re.escape(str(archive.path(HASH)))):
        archive.read(HASH)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd", "/etc/passwd", "", ".", "..", HASH.upper(), HASH[:-1], HASH + "0",
        HASH + "\n", HASH[:-1] + "\0", HASH[:-1] + "/", "1.2.840.10008.1.1", "\u0660" * 64,
    ],
)  # fmt: skip
def test_no_name_but_a_hash_reaches_the_disk(archive: Archive, name: str) -> None:
    with pytest.raises(ArchiveError, match="no SHA-256"):
        archive.path(name)
    with pytest.raises(ArchiveError, match="no SHA-256"):
        archive.read(name)
    part = _spooled(archive)
    with pytest.raises(ArchiveError, match="no SHA-256"):
        archive.adopt(part, name)
    assert part.exists()


def test_what_a_crash_left_in_the_spool_is_swept_and_nothing_else(archive: Archive) -> None:
    archive.put(CONTENT)
    _spooled(archive, b"cut off")
    _spooled(archive, b"")
    assert archive.sweep() == 2
    assert archive.sweep() == 0
    assert archive.read(HASH) == CONTENT


def test_what_may_still_grow_is_not_swept(archive: Archive) -> None:
    old, young = _spooled(archive), _spooled(archive)
    written = old.stat().st_mtime - 120
    os.utime(old, (written, written))
    assert archive.sweep(older_than_s=60) == 1
    assert list(archive.spool.iterdir()) == [young]


def test_spool_names_never_meet(archive: Archive) -> None:
    assert len({archive.new_part() for _ in range(100)}) == 100


def test_a_disk_that_takes_nothing_is_an_error_of_the_archive(archive: Archive) -> None:
    shutil.rmtree(archive.spool)
    message = f"^object {HASH[:12]}… cannot be kept: No such file or directory"
    with pytest.raises(ArchiveError, match=message):
        archive.put(CONTENT)
    with pytest.raises(ArchiveError, match="cannot be kept"):
        archive.adopt(archive.new_part(), HASH)


def test_the_spool_file_is_still_there_when_it_cannot_be_moved(archive: Archive) -> None:
    part = _spooled(archive)
    archive.path(HASH).parent.rmdir()
    archive.path(HASH).parent.write_bytes(b"a file where a folder should be")
    with pytest.raises(ArchiveError, match="cannot be kept"):
        archive.adopt(part, HASH)
    assert part.read_bytes() == CONTENT


def test_nobody_else_can_look_into_the_archive(archive: Archive) -> None:
    archive.put(CONTENT)
    for folder in (
        archive.objects, archive.spool, archive.quarantine, archive.path(HASH).parent,
    ):  # fmt: skip
        assert folder.stat().st_mode & 0o077 == 0


def test_opening_an_archive_again_loses_nothing(archive: Archive, tmp_path: Path) -> None:
    archive.put(CONTENT)
    assert Archive(tmp_path).read(HASH) == CONTENT


_PUT = """
import sys
from pathlib import Path
from dicom_node.store.archive import Archive
archive = Archive(Path(sys.argv[1]))
print("ready", flush=True)
archive.put(b"content")
print("done", flush=True)
"""


def test_file_and_folders_are_on_disk_in_this_order(tmp_path: Path, repository: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing; install Debian's package strace")
    log = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,mkdir,write"
    done = subprocess.run(
        [strace, "-f", "-y", "-o", log, "-e", calls, sys.executable, "-c", _PUT, tmp_path / "data"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and "ptrace" in done.stderr.lower():
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    text = log.read_text(encoding="utf-8", errors="replace")
    steps = text[: text.index('"done')]
    patterns = (
        r"mkdir\([^)]*/objects/ed",
        r"fsync\(\d+<[^>]*/objects>",
        r"fsync\(\d+<[^>]*\.part>",
        r"rename\w*\(",
        r"fsync\(\d+<[^>]*/objects/\w\w>",
    )
    places = [match.start() for one in patterns if (match := re.search(one, steps))]
    assert len(places) == len(patterns), steps
    assert places == sorted(places), steps
