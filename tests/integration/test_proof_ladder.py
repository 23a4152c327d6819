"""Accepted, committed, seen: what is asked on each rung, and where the ladder ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.domain.identifiers import derive_uid
from dicom_node.see import Seer
from dicom_node.store.proofs import LACKING_AFTER, SEEN_WITHIN_S
from tests.integration.databases import let_pass
from tests.integration.post import CLASSES, Post
from tests.peers import orthanc
from tests.scripted_pacs import ScriptedPacs, scripted_pacs
from tests.web_browser import Browser

AN_HOUR = 3600.0


class Watched(Post):
    """Results with the stage that looks for them."""

    def __init__(self, folder: Path, pacs_port: int, **settings: object) -> None:
        super().__init__(folder, pacs_port, **settings)
        hospital = self.hospital
        self.seer = Seer(self.destination, "FAPS", hospital.archive, hospital.ledger)

    def pass_time(self, seconds: float) -> None:
        let_pass(self.hospital.ledger.database, seconds)

    def reasons(self, event: str) -> list[str]:
        return [row["reason"] for row in self.sheet().events if row["event"] == event]


@pytest.fixture
def pacs() -> Iterator[ScriptedPacs]:
    with scripted_pacs(classes=CLASSES) as running:
        yield running


def listed(post: Post, *roles: str) -> list[Dataset]:
    """What a PACS answers that lists these results."""
    found = []
    for role in roles:
        ds = Dataset()
        ds.StudyInstanceUID = post.exam.uid
        ds.SOPInstanceUID = derive_uid("result", role)
        found.append(ds)
    return found


def test_what_a_query_finds_in_the_study_is_seen(tmp_path: Path, pacs: ScriptedPacs) -> None:
    post = Watched(tmp_path, pacs.port, confirm="query")
    post.deliverer.tick()
    assert post.sheet().line.state == "delivered"
    pacs.studies = listed(post, "seg")
    post.seer.tick()
    assert post.states() == {"seg": "seen", "sr": "accepted"}
    pacs.studies = listed(post, "seg", "sr")
    post.seer.tick()
    assert post.states()["sr"] == "accepted", "the pause is kept"
    post.pass_time(10)
    post.seer.tick()
    assert post.sheet().line.state == "confirmed"


def test_what_was_accepted_and_is_never_found_is_sent_again_and_at_last_refused(
    tmp_path: Path, pacs: ScriptedPacs
) -> None:
    post = Watched(tmp_path, pacs.port, confirm="query")
    pacs.studies = listed(post, "seg")
    for times in (1, 2, 3):
        post.due_now()
        post.deliverer.tick()
        post.pass_time(SEEN_WITHIN_S + 1)
        post.seer.tick()
        assert [uid for uid, _ in pacs.got].count(derive_uid("result", "sr")) == times
    assert post.states() == {"seg": "seen", "sr": "refused"}
    assert post.sheet().line.state == "failed"
    assert "not found in the study" in post.sheet().line.reason
    (row,) = post.hospital.ledger.destinations.undelivered()
    assert row["role"] == "sr"


def test_with_both_the_query_follows_the_commitment(tmp_path: Path, pacs: ScriptedPacs) -> None:
    post = Watched(tmp_path, pacs.port, confirm="both")
    post.deliverer.tick()
    pacs.studies = listed(post, "seg", "sr")
    post.seer.tick()
    assert set(post.states().values()) == {"accepted"}
    committed = {derive_uid("result", role) for role in ("seg", "sr")}
    post.hospital.ledger.proofs.confirm(post.exam.job_id(), "pacs", committed, {})
    assert post.sheet().line.state == "delivered", "one rung is missing"
    post.seer.tick()
    assert post.sheet().line.state == "confirmed"


def test_a_peer_without_storage_commitment_ends_the_ladder_and_the_page_says_so(
    tmp_path: Path,
) -> None:
    with scripted_pacs(classes=CLASSES, services=False) as pacs:
        post = Watched(tmp_path, pacs.port, confirm="commitment")
        post.deliverer.tick()
        for _ in range(LACKING_AFTER):
            assert not post.reasons("unproven")
            post.pass_time(AN_HOUR)
            post.confirmer.tick()
    assert set(post.reasons("unproven")) == {"pacs offers no Storage Commitment"}
    assert set(post.states().values()) == {"accepted"}
    assert post.sheet().line.state == "delivered"
    browser = Browser(post.hospital)
    assert "2 not proven" in browser.page(f"/study/{post.exam.uid}").text
    metrics = browser.get("/metrics").text
    assert 'faps_node_deliveries_unproven{destination="pacs"} 2.0' in metrics


def test_without_commitment_a_query_proves_it_too(tmp_path: Path, pacs: ScriptedPacs) -> None:
    post = Watched(tmp_path, pacs.port, confirm="both", confirm_by_hours=2.0)
    post.deliverer.tick()
    post.confirmer.tick()  # asked, and never reported
    post.pass_time(2.1 * AN_HOUR)
    post.confirmer.tick()
    assert set(post.reasons("unproven")) == {"no commitment was reported within 2 h"}
    pacs.studies = listed(post, "seg", "sr")
    post.seer.tick()
    assert post.sheet().line.state == "confirmed"


def test_a_lost_report_is_asked_for_again_later_and_later(
    tmp_path: Path, pacs: ScriptedPacs
) -> None:
    post = Watched(tmp_path, pacs.port, confirm="commitment")
    post.deliverer.tick()
    for pause, asked in ((0, 1), (61, 2), (61, 2), (61, 3), (600, 4)):
        post.pass_time(pause)
        post.confirmer.tick()
        assert len(pacs.asked) == asked
    assert len({request.TransactionUID for request in pacs.asked}) == 4


def test_orthanc_lists_what_it_has_accepted(tmp_path: Path) -> None:
    with orthanc(tmp_path, {"faps": ("FAPS", 104)}) as pacs:
        post = Watched(
            tmp_path / "node", pacs.port, ae_title="ORTHANC", name="orthanc", confirm="query"
        )
        post.deliverer.tick()
        post.seer.tick()
        assert set(post.states().values()) == {"seen"}
        assert post.sheet().line.state == "confirmed"
        # Somebody removes one of them there before the next exam's results are looked for.
        seg, sr = post.another("two")
        post.deliverer.tick()
        gone = pacs.post("/tools/lookup", derive_uid("result", sr))[0]["Path"]
        pacs.delete(gone)
        post.pass_time(SEEN_WITHIN_S + 1)
        post.seer.tick()
        found = [
            row["reason"]
            for row in post.hospital.ledger.overview.sheet(post.hospital.exam("two").uid, ()).events
            if row["event"] in {"found", "not_found"}
        ]
        assert found[0] == "found in the study", seg
        assert found[1].startswith("accepted, and not found in the study")


def test_a_report_on_the_association_that_asked_is_taken(
    tmp_path: Path, pacs: ScriptedPacs
) -> None:
    pacs.reports_at_once = True
    post = Watched(tmp_path, pacs.port, confirm="commitment")
    post.deliverer.tick()
    post.confirmer.tick()
    assert post.sheet().line.state == "confirmed"
    assert pacs.associations == 2, "one for the objects, one for the question and its answer"
