"""Exams that shout their patient's name, with faults on the way: logs and queue stay silent."""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.config import IGNORE, disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1
from redis import Redis

from tests.e2e.conftest import Hospital, MakeExam, study_of
from tests.e2e.test_bad_input import MG, encoded, store_bytes
from tests.peers import storescu, wait_until

pytestmark = [
    pytest.mark.orthanc, pytest.mark.dcmtk, pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # what is written here is illegal on purpose
]  # fmt: skip
CANARY = "KANARIENGELB"
# Values of each kind, some of them illegal: libraries complain of those, and quote them.
PATIENT = {
    "PatientName": f"{CANARY}^Name", "PatientID": f"{CANARY}-ID", "PatientComments": f"{CANARY} c",
    "OtherPatientIDs": f"{CANARY}-2", "AccessionNumber": CANARY, "StudyID": CANARY,
    "InstitutionName": f"{CANARY} clinic", "InstitutionAddress": CANARY, "StationName": CANARY,
    "ReferringPhysicianName": f"{CANARY}^Doctor", "OperatorsName": f"{CANARY}^Operator",
    "StudyDescription": CANARY, "SeriesDescription": CANARY, "ImageComments": CANARY,
    "ProtocolName": CANARY, "AdditionalPatientHistory": CANARY, "PatientAddress": CANARY,
}  # fmt: skip
ILLEGAL = {
    "PatientBirthDate": ("DA", CANARY), "PatientAge": ("AS", CANARY), "StudyDate": ("DA", CANARY),
    "StudyTime": ("TM", CANARY), "PatientSize": ("DS", CANARY), "ExposureTime": ("IS", CANARY),
    "SoftwareVersions": ("UI", CANARY),
    "ContentDate": ("DA", CANARY), "BodyPartThickness": ("DS", CANARY),
}  # fmt: skip


def shout(folder: Path, *, illegal: bool = False, **values: str) -> list[Path]:
    """Write the canary into every file of an exam."""
    files = sorted(folder.glob("*.dcm"))
    for file in files:
        with disable_value_validation():
            ds = dcmread(file)
            for keyword, value in {**PATIENT, **values}.items():
                setattr(ds, keyword, value)
            if illegal:
                _add_illegal(ds)
            ds.save_as(file)
    return files


def _add_illegal(ds: Dataset) -> None:
    for keyword, (vr, value) in ILLEGAL.items():
        tag = Dataset()
        setattr(tag, keyword, None)
        (element,) = tag
        ds[element.tag] = DataElement(element.tag, "LO" if vr in {"DS", "IS"} else vr, value,
                                      validation_mode=IGNORE)  # fmt: skip


def forms(canary: str) -> list[bytes]:
    """As it is, and as base64 (Celery's messages) wherever it begins in the text."""
    raw = canary.encode()
    coded = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return [raw, raw.lower(), raw.hex().encode(), raw.decode().encode("utf-16-le"), *coded]


def assert_silent(where: str, content: bytes) -> None:
    for form in forms(CANARY):
        at = content.find(form)
        assert at < 0, f"{where}: {content[max(0, at - 200) : at + 60]!r}"


def everything_in_the_queue(hospital: Hospital) -> Iterable[tuple[str, bytes]]:
    """Every key of the queue server in its serialised form."""
    with Redis(unix_socket_path=str(hospital.node.settings.queue_socket)) as queue:
        for key in queue.scan_iter():
            yield repr(key), bytes(key) + (queue.dump(key) or b"")


def files_beside_the_ledger(hospital: Hospital) -> Iterable[Path]:
    """Everything on disk but the archive and the database: the queue's files among it."""
    data = hospital.node.data
    allowed = {data / "objects", data / "spool"}
    yield data.parent / "node.log"
    for file in data.rglob("*"):
        inside = allowed & set(file.parents)
        if file.is_file() and not inside and not file.name.startswith("ledger.db"):
            yield file


def get(url: str) -> bytes:
    return httpx.get(url, timeout=30).raise_for_status().content


def test_no_log_metric_or_message_names_a_patient(hospital: Hospital, make_exam: MakeExam) -> None:
    node = hospital.node
    whole, odd = make_exam(views=("R_CC",)), make_exam(views=("R_CC",))
    damaged, mixed = make_exam(views=("R_CC",)), make_exam(views=("R_CC",))
    refused = dcmread(shout(make_exam(views=("R_CC",)))[0])
    # Refused: bytes that are none, an image cut off, one under another UID.
    store_bytes(node.port, CANARY.encode() * 500, MG, "1.2.3.4.5")
    cut = encoded(refused)[:-50_000]
    answer = store_bytes(node.port, cut, MG, str(refused.SOPInstanceUID))
    assert_silent("the answer's comment", str(answer).encode())
    store_bytes(node.port, encoded(refused), MG, "1.2.3.4.6")
    # A worker that is killed, values that no library takes, a damaged stream, a second patient.
    storescu(node.port, shout(whole))
    owner = wait_until(lambda: next(iter(node.ledger.jobs.owners()), None), "a claim")
    os.kill(int(owner.split("/")[2]), signal.SIGKILL)
    storescu(node.port, shout(odd, illegal=True))
    for file in shout(damaged):
        ds = dcmread(file)
        ds.PixelData = encapsulate([b"\xff\xd8" + CANARY.encode() * 100 + b"\xff\xd9"])
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        ds.save_as(file)
    storescu(node.port, sorted(damaged.glob("*.dcm")), "-xs")
    first, *_ = shout(mixed)
    ds = dcmread(first)
    shout(mixed, PatientID=f"{CANARY}-ANOTHER")
    ds.save_as(first)
    storescu(node.port, sorted(mixed.glob("*.dcm")))
    node.wait_for_state(study_of(whole), "confirmed", seconds=250)
    node.wait_for_state(study_of(mixed), "held", seconds=250)
    ended = ("confirmed", "delivered", "held", "failed", "unsuitable")
    for folder in (odd, damaged):
        node.wait_for_state(study_of(folder), *ended, seconds=250)
    sheet = node.sheet(study_of(whole))
    assert sheet is not None
    assert CANARY in sheet.line.patient_id  # the ledger does know
    for path in ("metrics", "ready", "live"):
        assert_silent(path, get(f"{node.url}/{path}"))
    for address in re.findall(rb'(?:href|action|src)="([^"]*)"', get(node.url)):
        assert_silent("an address on the page", address)
    for key, content in everything_in_the_queue(hospital):
        assert_silent(f"key {key}", content)
    searched = list(files_beside_the_ledger(hospital))
    assert {"node.log"} < {file.name for file in searched}
    assert any("appendonly" in str(file) for file in searched)
    for file in searched:
        assert_silent(str(file), file.read_bytes())
    assert "Intact" in node.cli("audit", "verify")
    assert study_of(whole) in node.cli("audit", "export")
