"""Commands of the node in this process."""

from __future__ import annotations

import structlog
from click.testing import Result
from typer.testing import CliRunner

from dicom_node.__main__ import app


def run_command(*words: str) -> Result:
    """One command; the log is as it was, because the runner's streams are closed afterwards."""
    result = CliRunner().invoke(app, list(words))
    structlog.reset_defaults()
    return result
