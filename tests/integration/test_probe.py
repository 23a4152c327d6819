"""A peer asked what it takes, by the command and over one association."""

from __future__ import annotations

import json
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest
from pydicom.uid import (
    ComprehensiveSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom_node.associate import echo, peer
from dicom_node.domain.offers import OFFERS
from dicom_node.errors import PeerError
from tests.peers import dicom_node, free_port, orthanc
from tests.scripted_pacs import ScriptedPacs, scripted_pacs

OLD_PACS = (str(ComprehensiveSRStorage), str(SecondaryCaptureImageStorage))


def settings(folder: Path, port: int, *more: str) -> Path:
    file = folder / "node.toml"
    lines = ['name = "pacs"', 'ae_title = "PACS"', 'host = "127.0.0.1"', f"port = {port}", *more]
    file.write_text("\n".join(["[[destinations]]", *lines]))
    return file


def ask(pacs: ScriptedPacs, *options: str) -> tuple[int, str]:
    result = dicom_node("probe", f"PACS@127.0.0.1:{pacs.port}", *options)
    return result.returncode, result.stdout


def test_an_old_pacs_is_offered_what_it_takes_and_keeps_nothing() -> None:
    with scripted_pacs(classes=OLD_PACS, services=False) as pacs:
        status, said = ask(pacs, "--json")
        table = ask(pacs)[1]
        assert pacs.got == []
    found = json.loads(said)
    assert status == 0
    assert [one["name"] for one in found["answers"]] == [name for name, _ in OFFERS]
    taken = {one["name"] for one in found["answers"] if one["accepted"]}
    assert taken == {"Comprehensive SR", "Secondary Capture"}
    assert {one["reason"] for one in found["answers"] if not one["accepted"]} == {
        "does not know this class"
    }
    assert tomllib.loads("\n".join(found["proposal"])) == {
        "outputs": ["sr", "sc"], "sr_class": "comprehensive",
    }  # fmt: skip
    assert 'outputs = ["sr", "sc"]' in table
    assert "does not know this class" in table


def test_each_transfer_syntax_is_asked_for_by_itself() -> None:
    with (
        scripted_pacs(classes=OLD_PACS) as both,
        scripted_pacs(classes=OLD_PACS, implicit_only=True) as one,
    ):
        answers = [json.loads(ask(pacs, "--json")[1])["answers"] for pacs in (both, one)]
    syntaxes = [answer[6]["syntaxes"] for answer in answers]
    assert syntaxes == [
        ["Explicit VR Little Endian", "Implicit VR Little Endian"],
        ["Implicit VR Little Endian"],
    ]


def test_settings_that_ask_for_more_than_is_taken_end_with_status_1(tmp_path: Path) -> None:
    with scripted_pacs(classes=OLD_PACS, services=False) as pacs:
        file = settings(tmp_path, pacs.port, 'outputs = ["seg", "sc"]', 'recheck = "hold"')
        result = dicom_node("probe", "pacs", "--config", str(file))
        assert result.returncode == 1
        assert "not taken: Segmentation, Study Root C-FIND." in result.stdout
        file = settings(tmp_path, pacs.port, 'outputs = ["sc"]')
        assert dicom_node("probe", "pacs", "--config", str(file)).returncode == 0


def test_a_peer_that_takes_nothing_at_all_is_told_with_its_reasons() -> None:
    with scripted_pacs(classes=("1.2.3",), services=False) as pacs:
        status, said = ask(pacs)
    assert status == 0
    assert said.count("does not know this class") == len(OFFERS)
    assert "takes no result object" in said


def test_a_peer_that_is_not_there_is_an_error() -> None:
    result = dicom_node("probe", f"PACS@127.0.0.1:{free_port()}")
    assert result.returncode == 1
    assert "check address, port and firewall" in result.stderr


def test_orthanc_takes_the_old_objects_and_answers_queries(tmp_path: Path) -> None:
    with orthanc(tmp_path, {}) as pacs:
        result = dicom_node("probe", f"ORTHANC@127.0.0.1:{pacs.port}", "--json")
        found = json.loads(result.stdout)
        assert pacs.get("/instances") == []
    taken = {one["sop_class"] for one in found["answers"] if one["accepted"]}
    assert str(SegmentationStorage) in taken
    assert 'confirm = "commitment"' in found["proposal"]
    refused = [one["name"] for one in found["answers"] if not one["accepted"]]
    assert refused == ["Label Map Segmentation"]


def test_a_rejection_that_the_library_overlooks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its own thread has closed the connection before the calling one looks at it.
    wait = threading.Event.wait

    def late(event: threading.Event, timeout: float | None = None) -> bool:
        done = wait(event, timeout)
        time.sleep(0.2 if sys._getframe(1).f_code.co_name == "_negotiate_as_requestor" else 0)
        return done

    monkeypatch.setattr(threading.Event, "wait", late)
    with scripted_pacs(classes=OLD_PACS) as pacs:
        wrong = peer(f"NOBODY@127.0.0.1:{pacs.port}")
        with pytest.raises(PeerError, match="association rejected: Called AE title"):
            echo(wrong, "FAPS")
