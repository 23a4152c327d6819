"""Numbers, sizes, times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TEN = 10.0
_KILO = 1000.0


def ago(seconds: float) -> str:
    """How long ago something was.

    >>> ago(3.4), ago(200), ago(7300), ago(200000)
    ('3 s ago', '3 min ago', '2 h 1 min ago', '2 days ago')
    """
    seconds = max(0.0, seconds)  # the database's clock may run a little ahead of ours
    if seconds < _MINUTE:
        return f"{seconds:.0f} s ago"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min ago"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min ago"
    days = int(seconds // _DAY)
    return f"{days} day{'s' if days > 1 else ''} ago"


def duration(seconds: float) -> str:
    """A length of time, as exact as it matters.

    >>> duration(0.0312), duration(3.21), duration(42.5), duration(200), duration(7300)
    ('31 ms', '3.2 s', '42 s', '3 min 20 s', '2 h 1 min')
    """
    if seconds < 1:
        return f"{1000 * max(0.0, seconds):.0f} ms"
    if seconds < _TEN:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def offset(seconds: float) -> str:
    """Time since a first moment: ``"+3.2 s"``."""
    return f"+{duration(seconds)}"


def local_time(at: float) -> str:
    """A moment on the clock of the place where the node runs.

    ``at`` is in seconds since 1970.
    """
    return datetime.fromtimestamp(at, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def iso_time(at: float) -> str:
    """A moment for machines.

    >>> iso_time(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds")


def file_size(size: float) -> str:
    """Bytes in decimal units.

    >>> file_size(312), file_size(20_480), file_size(17_039_360)
    ('312 B', '20 kB', '17 MB')
    """
    for unit in ("B", "kB", "MB"):
        if size < _KILO:
            return f"{size:.0f} {unit}"
        size /= _KILO
    return f"{size:.1f} GB"


def percent(probability: float) -> str:
    """A probability in [0, 1] with one decimal, as in the report.

    >>> percent(0.8342)
    '83.4 %'
    """
    return f"{100 * probability:.1f} %"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "image"), count(8, "image")
    ('1 image', '8 images')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
