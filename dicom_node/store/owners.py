"""Who holds a lease, told apart so well that a dead process of this host is known at once."""

from __future__ import annotations

import socket
from pathlib import Path


def owner_name(pid: int) -> str:
    """Host, boot, process and its start: no other process ever has the same name."""
    return "/".join((_host(), _boot_id(), str(pid), _started(pid) or "?"))


def is_dead(owner: str) -> bool:
    """Whether the owner was a process of this host that no longer runs; others' are unknown."""
    host, _, rest = owner.partition("/")
    boot, _, rest = rest.partition("/")
    pid, _, started = rest.partition("/")
    if host != _host() or not pid.isdigit():
        return False
    return boot != _boot_id() or _started(int(pid)) != started


def _host() -> str:
    """Host name and process name space: in another container the same pid is another process."""
    space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{socket.gethostname()}:{space}"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _started(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # proc(5): field 3 is the state, 22 the start time; the name in field 2 may itself hold blanks.
    fields = stat.rpartition(b")")[2].split()
    # A zombie has ended: where nobody asks for its status it stays in the list for ever.
    return None if fields[0] == b"Z" else fields[19].decode()
