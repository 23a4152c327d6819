"""How much room the disk of the data folder has, and whether that is enough to receive."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dicom_node.settings import Settings

GIB = 1 << 30


@dataclass(frozen=True)
class Room:
    """Bytes of a disk: free, all, and how many must stay free."""

    free: int
    total: int
    least: int

    @property
    def shortage(self) -> str:
        """Why nothing may be received, or nothing."""
        if self.free >= self.least:
            return ""
        return f"disk: {self.free / GIB:.1f} GiB free, {self.least / GIB:.1f} GiB are kept free"


class Disk:
    """The disk that ``folder`` is on; asked afresh each time, so that it resumes by itself."""

    def __init__(self, folder: Path, min_gb: float, min_percent: float) -> None:
        self._folder = folder
        self._min_gb = min_gb
        self._min_percent = min_percent

    def room(self) -> Room:
        """As it is now; a folder that cannot be asked has none."""
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError:
            return Room(0, 0, 1)
        least = max(self._min_gb * GIB, self._min_percent / 100 * usage.total)
        return Room(usage.free, usage.total, int(least))

    def shortage(self) -> str:
        """Why nothing may be received now, or nothing."""
        return self.room().shortage


def disk_of(settings: Settings) -> Disk:
    """The data folder's disk, with the marks of the settings."""
    storage = settings.storage
    return Disk(settings.data_dir, storage.free_min_gb, storage.free_min_percent)
