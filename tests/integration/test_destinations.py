"""Who gets which results, and what becomes of a destination that is down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from dicom_node.deliver import Deliverer
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.reach import OPEN_AFTER, PROBE_MAX_S
from dicom_node.errors import ConfigurationError
from dicom_node.settings import load_settings
from tests.integration.databases import let_pass
from tests.integration.post import CLASSES, Post
from tests.peers import free_port
from tests.scripted_pacs import scripted_pacs
from tests.web_browser import Browser


@pytest.mark.parametrize(
    ("called", "profiles", "objects"),
    [
        ("FAPS", ["clinical"], 2),
        ("FAPS_TEST", ["clinical"], 0),
        ("FAPS_REPLAY", ["clinical", "replay"], 2),
        ("FAPS", ["test"], 0),
    ],
)
def test_results_of_a_test_exam_stay_out_of_a_clinical_pacs(
    tmp_path: Path, called: str, profiles: list[str], objects: int
) -> None:
    titles = {"FAPS_TEST": "test", "FAPS_REPLAY": "replay"}
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(
            tmp_path, pacs.port, profiles=profiles,
            extra={"listener": {"ae_titles": titles}}, called_ae=called,
        )  # fmt: skip
        post.deliverer.tick()
        assert len(pacs.got) == objects
        assert post.sheet().line.state == ("delivered" if objects else "analysed")
        page = Browser(post.hospital).page(f"/study/{post.exam.uid}").text
        assert ("see profiles and senders" in page) is not bool(objects)


def test_results_go_back_to_whoever_sent_the_exam(tmp_path: Path) -> None:
    with (
        scripted_pacs(classes=CLASSES, ae_title="MAMMO1") as mine,
        scripted_pacs(classes=CLASSES, ae_title="MAMMO2") as other,
    ):
        peers = [
            {"name": name, "ae_title": ae, "address": "127.0.0.1", "results_port": pacs.port}
            for name, ae, pacs in (("room-1", "MAMMO1", mine), ("room-2", "MAMMO2", other))
        ]
        post = Post(
            tmp_path, 104, name="back", kind="sender", ae_title="", host="",
            extra={"peers": peers},
        )  # fmt: skip
        ledger, archive = post.hospital.ledger, post.hospital.archive
        for destination in post.hospital.settings.addressees:
            Deliverer(destination, "FAPS", archive, ledger, lambda: None).tick()
        assert (len(mine.got), len(other.got)) == (2, 0)
        assert {row["destination"] for row in post.sheet().deliveries} == {"back room-1"}


def test_a_way_back_needs_an_address_that_can_be_called() -> None:
    peer = {"name": "room", "ae_title": "MAMMO1", "address": "10.0.3.0/24", "results_port": 104}
    with pytest.raises(ConfigurationError, match="results_port needs one IP address"):
        load_settings(overrides={"peers": [peer]})


def test_nothing_is_sent_to_a_destination_that_is_down(
    tmp_path: Path,
) -> None:
    post = Post(tmp_path, free_port())
    ledger = post.hospital.ledger
    for _ in range(OPEN_AFTER):
        post.deliverer.tick()
        let_pass(ledger.database, 30)
    assert ledger.destinations.reach("pacs")[0].down
    attempts = [row["attempts"] for row in post.sheet().deliveries]
    # Probes, and no association with data: none of the objects counts an attempt.
    for _ in range(10):
        let_pass(ledger.database, PROBE_MAX_S * 1.3)
        post.deliverer.tick()
    assert [row["attempts"] for row in post.sheet().deliveries] == attempts
    assert post.states() == {"seg": "waiting", "sr": "waiting"}


def test_a_destination_that_comes_back_gets_everything_the_oldest_first(tmp_path: Path) -> None:
    port = free_port()
    post = Post(tmp_path, port)
    ledger = post.hospital.ledger
    second = post.another("two")
    for _ in range(OPEN_AFTER):
        post.deliverer.tick()
        let_pass(ledger.database, 30)
    let_pass(ledger.database, 4 * 3600)
    with scripted_pacs(classes=CLASSES, port=port) as pacs:
        post.deliverer.tick()  # the probe that was due, and the first exam
        post.deliverer.tick()
        studies = [uid for uid, _ in pacs.got]
        assert studies == [derive_uid("result", name) for name in ("seg", "sr", *second)]
        assert pacs.echoes == 1
    assert not ledger.destinations.reach("pacs")[0].down


def test_what_waits_for_a_destination_that_never_comes_back_ends_visibly(tmp_path: Path) -> None:
    post = Post(tmp_path, free_port(), deliver_by_hours=1.0)
    ledger = post.hospital.ledger
    for _ in range(OPEN_AFTER):
        post.deliverer.tick()
        let_pass(ledger.database, 30)
    let_pass(ledger.database, 3600)
    post.deliverer.tick()
    assert post.states() == {"seg": "refused", "sr": "refused"}
    assert "no time left" in post.sheet().deliveries[0]["reason"]
    rows = ledger.destinations.undelivered()
    assert {(row["destination"], row["state"]) for row in rows} == {("pacs", "refused")}


def test_the_page_shows_what_was_not_delivered_and_sends_it_again(tmp_path: Path) -> None:
    post = Post(tmp_path, free_port(), deliver_by_hours=1.0)
    ledger = post.hospital.ledger
    for _ in range(OPEN_AFTER):
        post.deliverer.tick()
        let_pass(ledger.database, 30)
    let_pass(ledger.database, 3600)
    post.deliverer.tick()
    browser = Browser(post.hospital)
    page = browser.page("/deliveries")
    assert "no time left" in page.text
    assert page.row("pacs")[2].startswith("down")
    metrics = browser.get("/metrics").text
    assert 'faps_node_destination_up{destination="pacs"} 0.0' in metrics
    assert 'faps_node_deliveries_by_destination{destination="pacs",state="refused"} 2.0' in metrics
    form = {"job": post.exam.job_id(), "destination": "pacs"}
    assert browser.ask("POST", "/deliveries", data=form).status_code == 303
    assert browser.ask("POST", "/deliveries", data=form).status_code == 409
    assert post.states() == {"seg": "waiting", "sr": "waiting"}


def test_a_backlog_goes_over_one_association(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, keep_open_s=30)
        post.another("two")
        for _ in range(3):
            post.deliverer.tick()
        assert len(pacs.got) == 4
        assert pacs.associations == 1
        post.deliverer.close()


def test_results_wait_for_the_images_that_they_are_drawn_on(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, images_first=True)
        post.deliverer.tick()
        assert not pacs.got
        reason = post.sheet().deliveries[0]["reason"]
        assert reason == "waits: 8 of 8 images of the exam are not there"
        assert post.sheet().deliveries[0]["attempts"] == 0
        pacs.studies = [image(row["header"]) for row in post.sheet().instances]
        post.due_now()
        post.deliverer.tick()
        assert len(pacs.got) == 2


def image(header: Any) -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID = header.study_instance_uid
    ds.SOPInstanceUID = header.sop_instance_uid
    return ds


def test_results_go_without_images_that_never_come_and_say_so(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, images_first=True, images_wait_s=600)
        post.deliverer.tick()
        let_pass(post.hospital.ledger.database, 601)
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"
        sent = [row["reason"] for row in post.sheet().events if row["event"] == "send"]
        assert sent[0].startswith("sent without waiting any longer: 8 of 8 images")
