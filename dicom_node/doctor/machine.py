"""The data folder, its disk, and this machine's clock, looked at."""

from __future__ import annotations

import ctypes
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from dicom_node.doctor.finding import Finding, Findings, good, warning, wrong
from dicom_node.errors import LedgerError
from dicom_node.settings import Settings
from dicom_node.store.database import now
from dicom_node.store.disk import GIB, disk_of
from dicom_node.store.ledger import Ledger

FSYNCS = 5
SLOW_FSYNC_S = 0.1
BUILT_AT = 1764374400.0  # 2025-11-29; a clock before it is wrong
UNSYNCHRONISED = 5  # adjtimex(2): TIME_ERROR
TIMEX_BYTES = 256  # struct timex has 208 on 64 bits
DRIFT_S = 2.0
IN_MEMORY = {"tmpfs", "ramfs"}
OVER_THE_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"}


def data_folder(settings: Settings) -> Findings:
    """Whether the folder is there, ours alone, durable, and has room."""
    folder = settings.data_dir
    if not folder.is_dir():
        yield _to_be_made(folder)
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield warning(
            "data folder",
            f"{folder} can be read by others (mode {mode:04o}), and holds patient data",
            f"chmod 700 {folder}",
        )
    if (owner := folder.stat().st_uid) != os.geteuid():
        yield warning(
            "data folder",
            f"{folder} belongs to user {owner}, and this is user {os.geteuid()}",
            f"run the doctor as the node's user: sudo -u '#{owner}' dicom-node doctor",
        )
    yield _durable(folder)
    if remark := _file_system(folder):
        yield remark
    room = disk_of(settings).room()
    words = f"{room.free / GIB:.1f} of {room.total / GIB:.1f} GiB free"
    remedy = "free space, or set storage.keep_days"
    if room.shortage:
        yield wrong("disk", f"{words}; nothing is received below {room.least / GIB:.1f}", remedy)
    elif room.free < 2 * room.least:
        yield warning("disk", f"{words}; receiving stops below {room.least / GIB:.1f}", remedy)
    else:
        yield good("disk", words)


def clock(settings: Settings) -> Findings:
    """Whether the time can be right: leases, certificates and reports go by it."""
    told = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    if time.time() < BUILT_AT:
        yield wrong("clock", f"it is {told} here: before this version was made", "set up NTP")
        return
    if settings.storage.ledger_url and (drift := _drift(settings.ledger_url)) > DRIFT_S:
        yield warning(
            "clock", f"{told}, {drift:.0f} s from the database's", "set up NTP on both machines"
        )
    elif _synchronised():
        yield good("clock", told)
    else:
        yield warning(
            "clock", f"{told}; the kernel says that nothing keeps it right", "set up NTP (chrony)"
        )


def _to_be_made(folder: Path) -> Finding:
    above = next(one for one in folder.parents if one.is_dir())
    if os.access(above, os.W_OK | os.X_OK):
        return good("data folder", f"{folder} is not there yet; the first start makes it")
    return wrong(
        "data folder",
        f"{folder} is not there, and {above} cannot be written to",
        f"make it for the node's user: install -d -m 700 -o USER {folder}",
    )


def _durable(folder: Path) -> Finding:
    """Write and sync a small file as the receiver does."""
    part = folder / f".doctor-{secrets.token_hex(8)}"
    took = []
    try:
        with part.open("wb") as file:
            for _ in range(FSYNCS):
                file.write(b"?" * 4096)
                file.flush()
                since = time.perf_counter()
                os.fsync(file.fileno())
                took.append(time.perf_counter() - since)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        remedy = f"make it writable for this user: chown -R USER {folder}"
        return wrong("data folder", f"{folder}: {error.strerror}", remedy)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    each = median(took)
    words = f"{folder} is writable, a sync takes {each * 1e3:.1f} ms"
    if each > SLOW_FSYNC_S:
        return warning("data folder", words, "every image waits for it: use a faster local disk")
    return good("data folder", words)


def _file_system(folder: Path) -> Finding | None:
    kind = _kind_of(folder)
    if kind in IN_MEMORY:
        words = f"{folder} is on {kind}: nothing there outlives a restart of the machine"
        return warning("data folder", words, "set storage.data_dir to a folder on a disk")
    if kind in OVER_THE_NETWORK:
        words = f"{folder} is on {kind}: locks and syncs of a network file system are not safe"
        return warning("data folder", words, "set storage.data_dir to a folder on a local disk")
    return None


def _kind_of(folder: Path) -> str:
    """The type of the file system, as the kernel's table of mounts has it."""
    found = ("", "")
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            _, place, kind, *_ = line.split(" ")
            if folder.is_relative_to(place) and len(place) >= len(found[0]):
                found = (place, kind)
    return found[1]


def _drift(url: str) -> float:
    """Seconds between this clock and the database's; 0 when it does not answer."""
    ledger = Ledger(url)
    try:
        with ledger.database.read() as connection:
            return abs(now(connection) - time.time())
    except LedgerError:
        return 0.0
    finally:
        ledger.close()


def _synchronised() -> bool:
    """What the kernel has been told by whoever keeps the time."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return True  # not to be known here
    return bool(state != UNSYNCHRONISED)
