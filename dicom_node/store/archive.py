"""Files kept under the hash of their content, put once, safe when ``put`` returns."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dicom_node.errors import ArchiveError
from dicom_node.store.files import is_held, sync

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Taken(NamedTuple):
    """A file taken in; ``fresh`` if nothing lay under its name before."""

    path: Path
    inode: int
    fresh: bool


class Archive:
    """``objects/<aa>/<sha256>`` below a folder; names never come from the wire.

    Every method that returns normally has made its effect durable (fsync of file and folder).
    """

    def __init__(self, folder: Path) -> None:
        self.objects = folder / "objects"
        self.spool = folder / "spool"
        self.quarantine = folder / "quarantine"
        for place in (self.objects, self.spool, self.quarantine):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_folders()

    def _make_folders(self) -> None:
        """Make all at once: one at its first object would be another wait for the disk."""
        there = {folder.name for folder in self.objects.iterdir()}
        names = {f"{number:02x}" for number in range(256)} - there
        with suppress(OSError):  # on a full disk; then each is made when it is needed
            for name in names:
                (self.objects / name).mkdir(mode=0o700, exist_ok=True)
            if names:
                sync(self.objects)

    def path(self, sha256: str) -> Path:
        """Where the content with this hash lies, whether it is there or not."""
        if _SHA256.fullmatch(sha256) is None:
            raise ArchiveError(
                f"{sha256[:80]!r} is no SHA-256; nothing is stored under such a name"
            )
        return self.objects / sha256[:2] / sha256

    def read(self, sha256: str) -> bytes:
        """The whole content, checked against its name.

        Raises
        ------
        ArchiveError
            When the file is missing or is not what its name says.

        """
        path = self.path(sha256)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArchiveError(f"object {sha256[:12]}…: {error.strerror}; restore {path}") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ArchiveError(f"object {sha256[:12]}…: content has changed; restore {path}")
        return content

    def put(self, content: bytes) -> str:
        """Keep ``content`` and return its hash; the same content again changes nothing.

        Raises
        ------
        ArchiveError
            When the disk cannot take it.

        """
        sha256 = hashlib.sha256(content).hexdigest()
        part = self.new_part()
        try:
            if self._is_there(self.path(sha256)):
                return sha256
            part.write_bytes(content)
            self.adopt(part, sha256)
        except OSError as error:
            raise ArchiveError(f"object {sha256[:12]}… cannot be kept: {error.strerror}") from None
        finally:
            with suppress(OSError):
                part.unlink()
        return sha256

    def new_part(self) -> Path:
        """A fresh name in the spool folder, on the same file system as the objects."""
        return self.spool / f"{secrets.token_hex(16)}.part"

    def adopt(self, part: Path, sha256: str) -> Path:
        """Move a finished spool file under its hash, durably; put-if-absent.

        Raises
        ------
        ArchiveError
            When the disk cannot take it; the spool file is then still there.

        """
        target = self.path(sha256)
        try:
            sync(part)
            if self._is_there(target):
                part.unlink()
                return target
            self._make_folder(target.parent)
            part.replace(target)
            sync(target.parent)
        except OSError as error:
            raise ArchiveError(f"object {sha256[:12]}… cannot be kept: {error.strerror}") from None
        return target

    @staticmethod
    def _is_there(path: Path) -> bool:
        """Whether a file is there; if so it is as young as what is about to name it."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    @staticmethod
    def older(folder: Path, than_s: float) -> list[Path]:
        """Files of a folder to which nothing has happened for so long."""
        old = []
        for file in folder.iterdir() if folder.is_dir() else ():
            with suppress(FileNotFoundError):  # kept or removed meanwhile
                if time.time() - file.stat().st_mtime >= than_s:
                    old.append(file)
        return old

    def set_aside(self, path: Path, older_than_s: float, is_known: Callable[[str], bool]) -> bool:
        """Move a file into the quarantine unless it is young or known; whether it went.

        It is asked after the move: who has named it before that is seen, who names it after that
        finds it gone, and writes it again.
        """
        aside = self.quarantine / path.name
        goes = False
        try:
            path.rename(aside)
            try:
                is_old = time.time() - aside.stat().st_mtime >= older_than_s
                goes = is_old and not is_known(path.name)
            finally:
                if not goes:
                    self._put_back(aside, path)
        except FileNotFoundError:
            pass  # somebody else has moved or removed it
        except OSError as error:
            raise ArchiveError(f"{path} cannot be set aside: {error.strerror}") from None
        return goes

    def return_known(self, known: Callable[[list[str]], set[str]]) -> int:
        """Put files back whose names are known after all, of a crash or a restored database."""
        aside = {path.name.partition(".")[0]: path for path in self.quarantine.iterdir()}
        found = known([name for name in aside if _SHA256.fullmatch(name)])
        for name in found:
            self._make_folder(self.path(name).parent)
            self._put_back(aside[name], self.path(name))
        return len(found)

    @staticmethod
    def _put_back(aside: Path, path: Path) -> None:
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            pass  # written again meanwhile
        except OSError:
            aside.rename(path)  # no links in this file system
            return
        aside.unlink()

    def take_in(self, part: Path, sha256: str) -> Taken:
        """Move a received spool file under its hash, durably, in place of an older copy of it.

        The older copy goes because another process may take its own back at this moment, and
        because it may have been damaged since.

        Raises
        ------
        ArchiveError
            When the disk cannot take it; the spool file is then still there.

        """
        target = self.path(sha256)
        try:
            sync(part)
            inode = part.stat().st_ino
            self._make_folder(target.parent)
            try:
                target.hardlink_to(part)
                part.unlink()
                fresh = True
            except OSError:  # it is there, or this file system knows no links
                part.replace(target)
                fresh = False
            sync(target.parent)
        except OSError as error:
            raise ArchiveError(f"object {sha256[:12]}… cannot be kept: {error.strerror}") from None
        return Taken(target, inode, fresh=fresh)

    def take_back(self, taken: Taken) -> bool:
        """Remove a file that has got no row, unless it was there before or is somebody else's now.

        Whoever takes in the same content puts a file of his own in its place, and thereby keeps it.
        """
        if not taken.fresh:
            return False
        aside = self.quarantine / f"{taken.path.name}.{secrets.token_hex(4)}"  # if we die here
        with suppress(OSError):
            taken.path.rename(aside)
            if aside.stat().st_ino == taken.inode:
                aside.unlink()
                return True
            self._put_back(aside, taken.path)
        return False

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            with suppress(FileExistsError):  # somebody else was quicker: his sync may come later
                folder.mkdir(mode=0o700)
            sync(self.objects)

    def remove(self, sha256: str) -> None:
        """Remove a content that nothing needs any more, durably; one that is gone is no error.

        Raises
        ------
        ArchiveError
            When the disk does not let it go.

        """
        path = self.path(sha256)
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync(path.parent)
        except OSError as error:
            raise ArchiveError(
                f"object {sha256[:12]}… cannot be removed: {error.strerror}"
            ) from None

    def leftovers(self, older_than_s: float = 0.0) -> list[Path]:
        """Spool files to which nobody has written for so many seconds, nor writes now.

        One that comes slowly stays, whenever its last byte came: who writes it holds its lock.
        """
        return [path for path in self.older(self.spool, older_than_s) if not is_held(path)]

    def sweep(self, older_than_s: float = 0.0) -> int:
        """Remove spool files that a crash or an aborted association left behind; how many.

        Files that somebody has locked, or has written to within ``older_than_s``, stay.
        """
        swept = 0
        for leftover in self.leftovers(older_than_s):
            with suppress(FileNotFoundError):
                leftover.unlink()
                swept += 1
        return swept
