"""Results that wait, are held or are restamped by what a PACS says of their study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from sqlalchemy import update

from dicom_node.associate import peer
from dicom_node.deliver import Deliverer
from dicom_node.domain.delivery import DELIVER_BY_S
from dicom_node.send import send_folder
from dicom_node.store import tables as t
from tests.integration.post import CLASSES, Post, result
from tests.peers import free_port, orthanc
from tests.scripted_pacs import ScriptedPacs, scripted_pacs, status

MG = "1.2.840.10008.5.1.4.1.1.1.2"


@pytest.fixture
def pacs() -> Iterator[ScriptedPacs]:
    with scripted_pacs(classes=CLASSES) as made:
        yield made


def knows(pacs: ScriptedPacs, post: Post, **values: Any) -> None:
    """The PACS has the study, under these values."""
    ds = Dataset()
    ds.QueryRetrieveLevel, ds.StudyInstanceUID = "STUDY", post.exam.uid
    ds.PatientName, ds.PatientID, ds.AccessionNumber = "PHANTOM^CEM^", "PHANTOM-1", "ACC-1"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    pacs.studies = [ds]


def reason(post: Post) -> str:
    return str(post.sheet().deliveries[0]["reason"])


@pytest.mark.parametrize("mode", ["hold", "restamp"])
def test_a_study_under_the_same_patient_gets_its_results(
    pacs: ScriptedPacs, tmp_path: Path, mode: str
) -> None:
    post = Post(tmp_path, pacs.port, recheck=mode)
    knows(pacs, post)
    post.deliverer.tick()
    assert post.sheet().line.state == "delivered"
    assert pacs.patients == ["PHANTOM-1 ACC-1"] * 2


def test_results_wait_until_the_images_have_arrived(pacs: ScriptedPacs, tmp_path: Path) -> None:
    post = Post(tmp_path, pacs.port, recheck="hold")
    post.deliverer.tick()
    assert (post.states(), pacs.got) == ({"seg": "waiting", "sr": "waiting"}, [])
    assert "does not know the study" in reason(post)
    knows(pacs, post)
    post.due_now()
    post.deliverer.tick()
    assert post.sheet().line.state == "delivered"


def test_a_study_that_never_arrives_ends_the_waiting(pacs: ScriptedPacs, tmp_path: Path) -> None:
    post = Post(tmp_path, pacs.port, recheck="hold")
    with post.hospital.ledger.database.write() as connection:
        early = t.deliveries.c.created_at - DELIVER_BY_S
        connection.execute(update(t.deliveries).values(created_at=early))
    post.deliverer.tick()
    assert post.states() == {"seg": "refused", "sr": "refused"}
    assert post.sheet().line.state == "failed"


def test_a_pacs_that_answers_no_query_is_tried_again(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES, services=False) as pacs:
        post = Post(tmp_path, pacs.port, recheck="hold")
        post.deliverer.tick()
        assert (post.states(), pacs.got) == ({"seg": "waiting", "sr": "waiting"}, [])
        assert "takes none of what was proposed" in reason(post)


def test_another_patient_holds_the_results_until_a_person_says_send(
    pacs: ScriptedPacs, tmp_path: Path
) -> None:
    post = Post(tmp_path, pacs.port, recheck="hold")
    knows(pacs, post, PatientID="OTHER", AccessionNumber="ACC-2")
    for _ in range(2):
        post.deliverer.tick()
        post.due_now()
    assert (post.states(), pacs.got) == ({"seg": "held", "sr": "held"}, [])
    assert reason(post) == "has the study with another Patient ID and accession number"
    line = post.sheet().line
    assert (line.state, line.reason) == ("analysed", f"pacs: {reason(post)}")
    ledger = post.hospital.ledger
    assert ledger.deliveries.resend(post.exam.job_id(), None, "cli ada") == 2
    post.deliverer.tick()
    assert post.sheet().line.state == "delivered"
    assert pacs.patients == ["PHANTOM-1 ACC-1"] * 2, "as they are"


def test_results_are_given_the_patient_of_the_pacs(pacs: ScriptedPacs, tmp_path: Path) -> None:
    post = Post(tmp_path, pacs.port, recheck="restamp")
    knows(pacs, post, PatientID="OTHER", AccessionNumber="ACC-2", PatientSex="F")
    before = [row["sha256"] for row in post.sheet().artefacts]
    post.deliverer.tick()
    assert post.sheet().line.state == "delivered"
    assert pacs.patients == ["OTHER ACC-2"] * 2
    assert {uid for uid, _ in pacs.got} == post.exam.object_uids()
    sent = [row["sha256"] for row in post.sheet().deliveries]
    archive = post.hospital.archive
    for old, new in zip(before, sent, strict=True):
        assert dcmread(archive.path(new)).PatientSex == "F"
        assert dcmread(archive.path(old)).PatientID == "PHANTOM-1", "what was analysed stays"
    assert {row["event"] for row in post.sheet().events} >= {"restamp", "success"}


def test_restamped_bytes_are_made_once_and_sent_again_as_they_are(tmp_path: Path) -> None:
    with scripted_pacs(status(0xA700), status(0x0000), classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, recheck="restamp")
        knows(pacs, post, PatientID="OTHER")
        post.deliverer.tick()
        assert post.states() == {"seg": "waiting", "sr": "accepted"}
        post.due_now()
        # The node was started anew in between.
        archive, ledger = post.hospital.archive, post.hospital.ledger
        Deliverer(post.destination, "FAPS", archive, ledger, lambda: None).tick()
        assert post.sheet().line.state == "delivered"
        assert len(pacs.got) == 3
        assert len(set(pacs.got)) == 2
        assert [row["event"] for row in post.sheet().events].count("restamp") == 2


def test_a_set_is_never_of_two_patients(tmp_path: Path) -> None:
    with scripted_pacs(status(0xA700), status(0x0000), classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, recheck="restamp")
        knows(pacs, post)
        post.deliverer.tick()
        assert post.states() == {"seg": "waiting", "sr": "accepted"}
        knows(pacs, post, PatientID="OTHER")
        post.due_now()
        post.deliverer.tick()
        assert post.states() == {"seg": "held", "sr": "accepted"}
        assert reason(post).endswith("and objects of this exam with the former")
        # Sent back to waiting, what was accepted once is still known to be there.
        ledger = post.hospital.ledger
        ledger.deliveries.resend(post.exam.job_id(), None, "cli ada")
        assert len(ledger.rechecks.there(post.exam.job_id(), "pacs")) == 1
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"
        assert set(pacs.patients) == {"PHANTOM-1 ACC-1"}


def test_orthanc_says_whose_study_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    with orthanc(tmp_path, {"faps": ("FAPS", free_port())}) as pacs:
        target = {"ae_title": pacs.ae, "recheck": "restamp"}
        post = Post(tmp_path / "node", pacs.port, **target)
        post.deliverer.tick()
        assert "does not know the study" in reason(post)
        corrected = {
            "PatientID": "OTHER",
            "AccessionNumber": "ACC-2",
            "PatientBirthDate": "19600101",
        }
        image = result(MG, "image", StudyInstanceUID=post.exam.uid, **corrected)
        (folder / "image.dcm").write_bytes(image)
        assert send_folder(folder, peer(f"{pacs.ae}@127.0.0.1:{pacs.port}"), "MODALITY")[0].accepted
        post.due_now()
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"
        found = pacs.objects(post.exam.uid, tmp_path / "got")
        assert len(found) == 3
        assert {(ds.PatientID, ds.AccessionNumber, ds.PatientBirthDate) for ds in found} == {
            ("OTHER", "ACC-2", "19600101")
        }
        # One patient, one study: nothing was torn apart.
        assert len(pacs.get("/patients")) == len(pacs.get("/studies")) == 1
