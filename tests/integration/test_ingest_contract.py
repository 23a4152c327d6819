"""What a sender is answered, row by row: success only for what is safe."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)
from sqlalchemy import func, select

from dicom_node.dispatch import Dispatcher
from dicom_node.store import database as database_module
from dicom_node.store import tables as t
from dicom_node.store.database import Database
from tests.headers import STUDY, uid
from tests.integration.door import MakeDoor
from tests.integration.ledger_acts import claimable, job_row, rows, study_row
from tests.integration.modality import RECOMBINED, Sender, mammogram
from tests.peers import free_port, wait_until
from tests.raw_sender import MG, PLAIN, Caller, associate_rq, c_store_rq, encoded, pdv


@pytest.fixture
def sender(make_door: MakeDoor) -> Sender:
    return Sender(make_door(max_pdu_bytes=16384))


def test_a_good_object_is_on_disk_with_its_row_before_success(sender: Sender) -> None:
    ds = mammogram()
    assert sender.send(ds).status == 0x0000
    (row,) = sender.instances()
    content = sender.door.hospital.archive.read(row.sha256)
    assert content.endswith(encoded(ds))
    assert hashlib.sha256(content).hexdigest() == row.sha256
    assert content[:128] == bytes(128)
    assert list(sender.door.hospital.archive.spool.iterdir()) == []


def test_a_disk_with_too_little_room(make_door: MakeDoor, tmp_path: Path) -> None:
    storage = {"data_dir": str(tmp_path / "data"), "ledger_url": "", "free_min_gb": 1e9}
    sender = Sender(make_door(max_pdu_bytes=16384, sections={"storage": storage}))
    with Caller(sender.door.settings.port) as caller:
        assert caller.associate() == 2
        assert caller.echo() == 0x0000
        assert caller.store(uid("first"), [encoded(mammogram())]).status == 0xA700
        assert caller.echo() == 0x0000
        caller.release()
    assert sender.nothing_kept()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data folder on a disk of 3 MiB."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_fills_while_an_object_comes(small_disk: Path, make_door: MakeDoor) -> None:
    storage = {"data_dir": str(small_disk), "ledger_url": "", "free_min_gb": 0}
    sender = Sender(make_door(max_pdu_bytes=16384, sections={"storage": storage}))
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(bytes(free - 300_000))
    assert sender.send(mammogram()).status == 0xA700
    assert sender.nothing_kept()
    ballast.unlink()
    assert sender.send(mammogram()).status == 0x0000


def test_a_database_that_is_locked(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = sender.door.hospital.ledger
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 100)
    ledger.database.close()  # connections made from now on wait no longer than that
    other = Database(str(ledger.database.engine.url))
    with other.write():
        answer = sender.send(mammogram())
    assert answer.status == 0xA700
    assert "database is locked" in answer.comment
    assert sender.nothing_kept()
    assert sender.send(mammogram()).status == 0x0000
    other.close()


@pytest.mark.slow  # the queue's client tries for some seconds
def test_a_queue_that_is_down(make_door: MakeDoor) -> None:
    queue = {"url": f"redis://127.0.0.1:{free_port()}/0"}
    sender = Sender(make_door(max_pdu_bytes=16384, sections={"queue": queue}))
    for number, image_type in enumerate((r"ORIGINAL\PRIMARY\\\LOW_ENERGY", RECOMBINED)):
        ds = mammogram(str(number), ImageType=image_type.split("\\"))
        assert sender.send(ds, str(number)).status == 0x0000
    sender.judged()
    hospital = sender.door.hospital
    (job,) = claimable(hospital.ledger)
    Dispatcher(hospital.settings, hospital.ledger).tick()
    assert claimable(hospital.ledger) == [job]
    assert job_row(hospital.ledger, job).state in {"queued", "held"}


def test_an_object_that_is_cut_off(sender: Sender) -> None:
    sender.cut(mammogram(), parts=3)
    assert sender.door.row()["code"] == "lost"
    wait_until(sender.nothing_kept, "an empty spool")
    assert sender.send(mammogram()).status == 0x0000


def test_a_sender_that_never_hears_the_answer(sender: Sender) -> None:
    ds = mammogram()
    sender.cut(ds, parts=-1)
    wait_until(sender.instances, "the row")
    assert sender.send(ds).status == 0x0000
    assert len(sender.instances()) == 1
    study = sender.judged()
    ledger = sender.door.hospital.ledger
    assert sender.send(ds).status == 0x0000
    assert study_row(ledger) == study
    jobs = select(func.count()).select_from(t.jobs)
    assert rows(ledger, jobs)[0][0] <= 1


def test_the_same_uid_with_other_bytes(sender: Sender) -> None:
    sender.send(mammogram())
    other = mammogram()
    other.PixelData = b"\1" + bytes(600 * 520 * 2 - 1)
    assert sender.send(other).status == 0x0000
    assert [row.state for row in sender.instances()] == ["kept", "conflict"]
    for row in sender.instances():
        sender.door.hospital.archive.read(row.sha256)
    assert sender.judged().hold_code == "conflicting_instance"


def test_the_same_study_with_another_patient(sender: Sender) -> None:
    sender.send(mammogram())
    assert sender.send(mammogram("second", PatientID="P-2"), "second").status == 0x0000
    assert sender.judged().hold_code == "patient_mismatch"


@pytest.mark.parametrize("odd", [{"SOPClassUID": CTImageStorage}, {"SOPInstanceUID": "1.2.3"}])
def test_a_command_that_names_another_object(sender: Sender, odd: dict[str, Any]) -> None:
    assert sender.send(mammogram(**odd)).status == 0xA900
    assert sender.nothing_kept()
    row = sender.door.row()
    assert (row["refused"], row["code"]) == (1, "objects_refused")


def _deep() -> bytes:
    content = b""
    for _ in range(40):
        inside = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + content
        inside += b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
        content = b"\x54\x00\x20\x02SQ\0\0\xff\xff\xff\xff" + inside
    return content


def _bad_objects() -> Iterator[Any]:
    whole = encoded(mammogram())
    yield pytest.param(bytes(range(256)) * 40, {0xC010, 0xC011, 0xC014, 0xC019}, id="noise")
    yield pytest.param(whole[:-100], {0xC010}, id="cut off")
    yield pytest.param(whole[: whole.index(b"OW\0\0") - 4], {0xC016}, id="no pixels")
    yield pytest.param(whole[: whole.index(b"OW\0\0") - 4] + _deep(), {0xC012}, id="nested")
    yield pytest.param(encoded(mammogram(Rows=601)), {0xC017}, id="too few pixels")
    yield pytest.param(encoded(mammogram(StudyInstanceUID=None)), {0xC01A}, id="no study")
    many = b"\x09\x00\x01\x10LO\0\0" * 200_001
    yield pytest.param(many, {0xC013}, id="too many elements")
    long = whole[: whole.index(b"OW\0\0") - 4] + b"\x11\x00\x01\x10UN\0\0\xf0\xff\xff\xff"
    yield pytest.param(long, {0xC014}, id="a value of 4 GB")


@pytest.mark.parametrize(("content", "statuses"), list(_bad_objects()))
def test_each_fault_has_its_status_for_good(
    sender: Sender, content: bytes, statuses: set[int]
) -> None:
    answer = sender.send(content)
    assert answer.status in statuses
    assert answer.comment
    assert sender.nothing_kept()
    assert sender.door.row()["code"] == "objects_refused"


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit])
def test_a_transfer_syntax_that_is_not_ours(sender: Sender, syntax: str) -> None:
    with Caller(sender.door.settings.port) as caller:
        assert caller.associate(contexts=((MG, str(syntax)),)) == 2
        caller.release()
    assert sender.door.row()["contexts"][0].result == 4


@pytest.mark.parametrize(
    ("values", "state", "words"),
    [
        ({"Modality": "SR", "SOPClassUID": BasicTextSRStorage}, "ignored", "modality SR"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, "kept", ""),
    ],
)
def test_what_is_no_contrast_enhanced_mammogram(
    sender: Sender, values: dict[str, Any], state: str, words: str
) -> None:
    ds = mammogram(**values)
    sop_class = str(ds.SOPClassUID)
    with Caller(sender.door.settings.port) as caller:
        assert caller.associate(contexts=((sop_class, PLAIN),)) == 2
        content = encoded(ds)
        caller.sock.sendall(pdv(c_store_rq(sop_class, uid("first")), command=True))
        caller._send(list(caller._fragments([content])))
        assert caller.answer().status == 0x0000
        caller.release()
    (row,) = sender.instances()
    assert row.state == state
    assert words in row.reason
    study = sender.judged()
    assert study.state == "closed"
    assert rows(sender.door.hospital.ledger, select(t.jobs)) == []


def test_compressed_pixels_that_are_damaged_are_kept_as_they_came(sender: Sender) -> None:
    item = b"\xfe\xff\x00\xe0"
    fragment = item + (4000).to_bytes(4, "little") + b"no JPEG at all  " * 250
    ds = mammogram()
    del ds.PixelData
    content = encoded(ds) + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + item + bytes(4) + fragment
    content += b"\xfe\xff\xdd\xe0" + bytes(4)
    answer = sender.send(content, contexts=((MG, str(JPEGLSLossless)),))
    assert answer.status == 0x0000
    (row,) = sender.instances()
    assert sender.door.hospital.archive.read(row.sha256).endswith(content)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # as logs.configure has it
@pytest.mark.parametrize("charset", [b"ISO_IR 999", b"GB18030\\UTF-8 "])
def test_a_character_set_that_nobody_knows(sender: Sender, charset: bytes) -> None:
    content = encoded(mammogram(SpecificCharacterSet="ISO_IR 100", PatientID="M\xfcller 1"))
    tag = b"\x08\x00\x05\x00CS"
    known = tag + b"\x0a\x00ISO_IR 100"
    assert known in content
    charset += b" " * (len(charset) % 2)
    content = content.replace(known, tag + len(charset).to_bytes(2, "little") + charset)
    assert sender.send(content).status == 0x0000
    (row,) = sender.instances()
    assert sender.door.hospital.archive.read(row.sha256).endswith(content)


def test_an_image_that_comes_late(sender: Sender) -> None:
    for number, image_type in enumerate((r"ORIGINAL\PRIMARY\\\LOW_ENERGY", RECOMBINED)):
        ds = mammogram(str(number), ImageType=image_type.split("\\"))
        assert sender.send(ds, str(number)).status == 0x0000
    assert sender.judged().state == "closed"
    late = mammogram("late", ImageLaterality="L")
    assert sender.send(late, "late").status == 0x0000
    row = study_row(sender.door.hospital.ledger, STUDY)
    assert (row.state, row.revision) == ("open", 2)


def test_a_stranger_and_one_too_many(make_door: MakeDoor) -> None:
    known = {"name": "ge", "ae_title": "GE1", "address": "127.0.0.1"}
    door = make_door(peers=[known], max_associations=1)
    with Caller(door.settings.port) as caller:
        kind, body = _asked(caller, calling="STRANGER")
        assert (kind, tuple(body[1:4])) == (3, (1, 1, 3))
    with Caller(door.settings.port) as first, Caller(door.settings.port) as second:
        assert first.associate(calling="GE1") == 2
        kind, body = _asked(second, calling="GE1")
        assert (kind, tuple(body[1:4])) == (3, (2, 3, 2))


def _asked(caller: Caller, **words: str) -> tuple[int, bytes]:
    caller.sock.sendall(associate_rq(**words))
    return caller.read()
