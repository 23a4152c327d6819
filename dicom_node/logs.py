"""JSON log lines that can carry only fields on a list, none of them about a patient."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from dicom_node.errors import FapsNodeError

# Everything else is dropped: a name that nobody put here cannot leak.
ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger", "stage", "job", "study", "series",
        "sop_instance", "sop_class", "transfer_syntax", "assoc", "ae", "called_ae", "peer",
        "address", "port", "destination", "state", "from_state", "to_state", "reason", "code",
        "status", "objects", "bytes", "seconds", "attempt", "token", "worker", "pid", "error",
        "where", "url", "folder", "bundle", "version", "sha256", "next_in_s", "count", "name",
    }
)  # fmt: skip


class _Forgiving:
    """A text stream whose faults are nobody's: closed, its reader gone, its disk full.

    An object that was kept must be answered for, whether its line can be written or not.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        with suppress(OSError, ValueError):  # ValueError: the stream is closed
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(level: str) -> None:
    """Set up logging for this process, to standard error."""
    stream = cast("TextIO", _Forgiving(sys.stderr))
    number = logging.getLevelNamesMapping()[level.upper()]
    # Libraries speak through the standard module; their messages may quote data.
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_WithoutWords())
    logging.basicConfig(level=logging.ERROR, handlers=[handler])
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def only_allowed(
    _logger: object, _method: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop every field that is not on the list; exceptions shrink to their type."""
    for name in list(fields):
        if name not in ALLOWED:
            del fields[name]
        elif isinstance(fields[name], BaseException):
            fields[name] = type(fields[name]).__name__
        elif isinstance(fields[name], str):
            fields[name] = fields[name].encode("unicode_escape").decode("ascii")
    return fields


def guard_process() -> None:
    """Let neither warnings (pydicom's quote values) nor last words out as they are."""
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class _WithoutWords(logging.Formatter):
    """Level, library and where an exception arose; neither its message nor its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        error = record.exc_info[1] if record.exc_info else None
        return " ".join([record.levelname, record.name, *([in_words(error)] if error else [])])


def in_words(error: BaseException) -> str:
    """What may be said of an error: our own words; of any other its type and its place.

    Messages of libraries and of Python quote the value that they could not take.
    """
    if isinstance(error, FapsNodeError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    ours = [f for f in frames if {"dicom_node", "worker"} & set(Path(f.filename).parts)]
    by = f", from {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__} at {place}{by}"


def _uncaught(
    kind: type[BaseException], error: BaseException | None, tb: TracebackType | None
) -> None:
    """The last words of a process or thread."""
    if issubclass(kind, KeyboardInterrupt | SystemExit) or error is None:
        return
    logger("process").error("ended by a fault", reason=in_words(error.with_traceback(tb)))


def logger(stage: str) -> structlog.typing.FilteringBoundLogger:
    """A logger bound to the stage that speaks."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(stage=stage)
    return bound
