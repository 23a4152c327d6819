"""Files moved in and out of the archive while others move them too."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from dicom_node.errors import ArchiveError
from dicom_node.store.archive import Archive

CONTENT = b"DICM" * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()
HOUR_S = 3600.0


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no hard links, such as FAT."""

    def refuse(path: Path, _target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    monkeypatch.setattr(Path, "hardlink_to", refuse)


def spooled(archive: Archive) -> Path:
    part = archive.new_part()
    part.write_bytes(CONTENT)
    return part


def old(path: Path) -> Path:
    then = time.time() - 2 * HOUR_S
    os.utime(path, (then, then))
    return path


def kept(archive: Archive) -> Path:
    return archive.path(archive.put(CONTENT))


def known(_name: str) -> bool:
    return True


def unknown(_name: str) -> bool:
    return False


def test_a_received_file_is_moved_and_the_second_takes_its_place(archive: Archive) -> None:
    first, second = spooled(archive), spooled(archive)
    inodes = first.stat().st_ino, second.stat().st_ino
    taken = [archive.take_in(part, HASH) for part in (first, second)]
    assert [(one.path, one.inode, one.fresh) for one in taken] == [
        (archive.path(HASH), inodes[0], True),
        (archive.path(HASH), inodes[1], False),
    ]
    assert archive.path(HASH).stat().st_ino == inodes[1]
    assert not first.exists()
    assert not second.exists()


@pytest.mark.usefixtures("without_links")
def test_without_links_a_received_file_is_moved_and_never_taken_back(archive: Archive) -> None:
    taken = archive.take_in(spooled(archive), HASH)
    assert taken.fresh is False
    assert archive.take_back(taken) is False
    assert archive.read(HASH) == CONTENT


def test_what_cannot_be_taken_in_is_named(archive: Archive) -> None:
    message = f"^object {HASH[:12]}… cannot be kept: No such file"
    with pytest.raises(ArchiveError, match=message):
        archive.take_in(archive.new_part(), HASH)


def test_a_file_is_taken_back_by_who_took_it_in_and_by_nobody_else(archive: Archive) -> None:
    mine = archive.take_in(spooled(archive), HASH)
    assert archive.take_back(mine) is True
    assert not mine.path.exists()
    assert archive.take_back(mine) is False  # it is gone already
    mine = archive.take_in(spooled(archive), HASH)
    theirs = archive.take_in(spooled(archive), HASH)
    assert archive.take_back(theirs) is False
    assert archive.take_back(mine) is False
    assert archive.path(HASH).stat().st_ino == theirs.inode
    assert list(archive.quarantine.iterdir()) == []


def test_an_old_file_that_nobody_names_is_set_aside(archive: Archive) -> None:
    path = old(kept(archive))
    assert archive.set_aside(path, HOUR_S, {"other"}.__contains__) is True
    assert not path.exists()
    assert (archive.quarantine / HASH).read_bytes() == CONTENT


def test_what_is_young_or_named_lies_where_it_was(archive: Archive) -> None:
    path = kept(archive)
    assert archive.set_aside(path, HOUR_S, unknown) is False
    assert archive.set_aside(old(path), HOUR_S, {HASH}.__contains__) is False
    assert path.read_bytes() == CONTENT
    assert list(archive.quarantine.iterdir()) == []


@pytest.mark.usefixtures("without_links")
def test_without_links_what_is_named_is_put_back_too(archive: Archive) -> None:
    path = old(kept(archive))
    assert archive.set_aside(path, HOUR_S, known) is False
    assert path.read_bytes() == CONTENT
    assert list(archive.quarantine.iterdir()) == []


def test_what_is_written_again_meanwhile_is_not_overwritten(archive: Archive) -> None:
    path = old(kept(archive))

    def is_known(_name: str) -> bool:
        kept(archive)
        return True

    inode = path.stat().st_ino
    assert archive.set_aside(path, HOUR_S, is_known) is False
    assert path.stat().st_ino != inode
    assert archive.read(HASH) == CONTENT
    assert list(archive.quarantine.iterdir()) == []


def test_what_somebody_else_has_removed_does_not_go_aside(archive: Archive) -> None:
    assert archive.set_aside(archive.path(HASH), HOUR_S, unknown) is False


def test_what_cannot_be_set_aside_is_named(archive: Archive) -> None:
    path = kept(archive)
    (archive.quarantine / HASH).mkdir()
    with pytest.raises(ArchiveError, match=f"^{path} cannot be set aside: Is a directory"):
        archive.set_aside(path, 0, unknown)
    assert path.exists()


def test_what_is_known_after_all_comes_back_from_quarantine(archive: Archive) -> None:
    taken_back, other = archive.quarantine / f"{HASH}.0a1b2c3d.x", archive.quarantine / ("f" * 64)
    taken_back.write_bytes(CONTENT)
    other.write_bytes(b"nobody's")
    (archive.quarantine / "notes").write_bytes(b"of a person")
    asked: list[list[str]] = []

    def named(names: list[str]) -> set[str]:
        asked.append(sorted(names))
        return {HASH}

    assert archive.return_known(named) == 1
    assert asked == [[HASH, "f" * 64]]
    assert archive.read(HASH) == CONTENT
    assert not taken_back.exists()
    assert other.exists()


def test_a_folder_that_is_not_there_holds_nothing_old(archive: Archive) -> None:
    assert Archive.older(archive.objects / "00", 0) == []


def test_what_goes_while_it_is_looked_at_is_not_old(archive: Archive) -> None:
    archive.new_part().symlink_to("gone")  # listed, and yet nothing is there
    assert archive.leftovers() == []


def test_what_somebody_else_has_swept_is_not_counted(tmp_path: Path) -> None:
    class Raced(Archive):
        def leftovers(self, older_than_s: float = 0.0) -> list[Path]:
            found = super().leftovers(older_than_s)
            found[0].unlink()
            return found

    archive = Raced(tmp_path)
    spooled(archive)
    spooled(archive)
    assert archive.sweep() == 1
    assert list(archive.spool.iterdir()) == []


def test_a_content_is_removed_once_and_again(archive: Archive) -> None:
    archive.remove(HASH)
    path = kept(archive)
    archive.remove(HASH)
    assert not path.exists()
    archive.remove(HASH)
    shutil.rmtree(path.parent)
    archive.remove(HASH)


def test_what_cannot_be_removed_is_named(archive: Archive) -> None:
    archive.path(HASH).mkdir(parents=True)
    message = f"^object {HASH[:12]}… cannot be removed: Is a directory"
    with pytest.raises(ArchiveError, match=message):
        archive.remove(HASH)


def test_an_archive_opens_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Archive(tmp_path)
    for folder in (tmp_path / "objects").iterdir():
        folder.rmdir()
    make = Path.mkdir

    def full(path: Path, *arguments: int, **words: int) -> None:
        if path.parent.name == "objects":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        make(path, *arguments, **words)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "mkdir", full)
        archive = Archive(tmp_path)
        with pytest.raises(ArchiveError, match="No space left on device"):
            archive.take_in(spooled(archive), HASH)
    archive.take_in(spooled(archive), HASH)
    assert archive.read(HASH) == CONTENT
