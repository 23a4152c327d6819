"""Log lines carry the fields on the list, and nothing of a patient."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.errors import LedgerError
from dicom_node.logs import ALLOWED, configure, in_words, logger, only_allowed


@pytest.fixture(autouse=True)
def _configured_anew() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_one_json_object_with_its_stage(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    logger("receive").info("received", study="1.2.3", bytes=7)
    (line,) = _lines(capsys)
    assert {**line, "timestamp": ""} == {
        "event": "received",
        "level": "info",
        "stage": "receive",
        "study": "1.2.3",
        "bytes": 7,
        "timestamp": "",
    }
    assert line["timestamp"].endswith("Z")


def test_a_field_off_the_list_never_appears(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug")
    names = ("patient_id", "patient_name", "header", "dataset", "exc_info", "accession_number")
    logger("receive").bind(patient_birth_date="CANARY").warning(
        "received", **dict.fromkeys(names, "CANARY")
    )
    assert "CANARY" not in capsys.readouterr().err
    assert not ALLOWED & set(names)


def test_an_exception_shrinks_to_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    logger("receive").error("failed", error=ValueError("CANARY^Jane"))
    (line,) = _lines(capsys)
    assert line["error"] == "ValueError"


def test_nothing_in_a_field_can_forge_a_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    logger("receive").info("refused", reason='x\n{"event": "forged"}\r\x1b[2J', ae="Ä\u2028")
    (line,) = _lines(capsys)
    assert line["event"] == "refused"
    assert "\x1b" not in line["reason"]
    assert "\n" not in line["reason"]


def test_less_than_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")
    logger("receive").info("received")
    logger("receive").warning("refused")
    assert [line["event"] for line in _lines(capsys)] == ["refused"]


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=5))
def test_whatever_is_said_only_listed_fields_remain_in_plain_ascii(fields: dict[str, Any]) -> None:
    kept = only_allowed(None, "info", {**fields, "reason": "ä\x00\n"})
    assert set(kept) <= ALLOWED
    assert all(value.isascii() and value.isprintable() for value in kept.values())


@pytest.mark.parametrize("how", ["closed", "reader gone", "disk full"])
def test_a_line_that_cannot_be_written_is_nobodys_fault(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "disk full":
        stream = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - closed below
    else:
        reader, writer = os.pipe()
        os.close(reader)
        stream = os.fdopen(writer, "w", encoding="utf-8")
        if how == "closed":
            stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    configure("info")
    logger("receive").info("received", study="1.2.3")
    logging.getLogger("a library").error("something")
    monkeypatch.undo()
    with suppress(OSError):
        stream.close()


def test_of_a_fault_the_type_and_the_place_are_said_and_of_ours_the_words() -> None:
    with pytest.raises(ValueError, match="CANARY") as caught:
        float("CANARY")
    assert in_words(caught.value).startswith("ValueError at test_logs.py:")
    with pytest.raises(json.JSONDecodeError) as decoded:
        json.loads("CANARY")
    assert in_words(decoded.value).startswith("JSONDecodeError at decoder.py:")
    assert in_words(ValueError("CANARY")) == "ValueError at nowhere"
    assert in_words(LedgerError("database is locked")) == "database is locked"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("float('CANARY')", '"reason": "ValueError at <string>:3"'),
        ("threading.Thread(target=float, args=('CANARY',)).start()", '"ended by a fault"'),
        ("warnings.warn('CANARY')", ""),
        ("logging.getLogger('pydicom').warning('CANARY')", ""),
        ("logging.getLogger('pynetdicom').error('CANARY')", "ERROR pynetdicom"),
        (
            "try: float('CANARY')\nexcept Exception: logging.getLogger('celery').exception(1)",
            "ERROR celery ValueError at <string>:3",
        ),
    ],
)
def test_whatever_a_process_or_a_library_says_quotes_nothing(fault: str, said: str) -> None:
    start = "import logging, threading, warnings\nfrom dicom_node.logs import *; "
    code = f"{start}configure('debug'); guard_process()\n{fault}"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert said in ended.stderr
    assert "CANARY" not in ended.stdout + ended.stderr
