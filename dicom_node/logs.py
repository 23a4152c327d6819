"""JSON log lines that can carry only fields on a list, none of them about a patient."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

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


def configure(level: str) -> None:
    """Set up logging for this process, to standard error."""
    number = logging.getLevelNamesMapping()[level.upper()]
    # Libraries speak through the standard module; their messages may quote data, so only warnings
    # pass, and without arguments' tracebacks.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_NameOnly())
    logging.basicConfig(level=logging.ERROR, handlers=[handler])
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class _NameOnly(logging.Formatter):
    """Who complains, and how badly: neither the message nor a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Both in one line."""
        return f"{record.levelname} {record.name}"


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


def logger(stage: str) -> structlog.typing.FilteringBoundLogger:
    """A logger bound to the stage that speaks."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(stage=stage)
    return bound
