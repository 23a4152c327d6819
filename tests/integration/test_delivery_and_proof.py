"""Results on their way to PACS that behave, lie, refuse or hang up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.deliver import Deliverer
from dicom_node.domain.identifiers import derive_uid
from dicom_node.listen import Port
from dicom_node.listener_section import Listener
from dicom_node.settings import Destination
from tests.integration.door import takes_nothing
from tests.integration.post import CLASSES, Post
from tests.peers import free_port
from tests.scripted_pacs import ScriptedPacs, abort, scripted_pacs, status


@pytest.fixture
def port() -> int:
    return free_port()


def test_accepted_objects_make_the_exam_delivered(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port)
        post.deliverer.tick()
        assert post.states() == {"seg": "accepted", "sr": "accepted"}
        assert post.sheet().line.state == "delivered"
        post.deliverer.tick()
        assert len(pacs.got) == 2


def test_a_peer_that_knows_only_implicit_vr_gets_the_results_too(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES, implicit_only=True) as pacs:
        post = Post(tmp_path, pacs.port)
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"


def test_a_full_pacs_gets_the_same_bytes_again_later(tmp_path: Path) -> None:
    with scripted_pacs(status(0xA700), status(0x0000), classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port)
        post.deliverer.tick()
        assert post.states() == {"seg": "waiting", "sr": "accepted"}
        assert "0xA700" in post.sheet().deliveries[0]["reason"]
        assert post.sheet().line.state == "analysed"
        post.deliverer.tick()
        assert len(pacs.got) == 2, "the pause is kept"
        post.due_now()
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"
        seg = [one for one in pacs.got if one[0] == derive_uid("result", "seg")]
        assert len(seg) == 2
        assert len(set(seg)) == 1


def test_a_pacs_that_stores_and_hangs_up_is_sent_the_same_object(tmp_path: Path) -> None:
    with scripted_pacs(abort, status(0x0000), classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port)
        post.deliverer.tick()
        assert post.states()["seg"] == "unknown"
        assert post.states()["sr"] == "waiting"
        post.due_now()
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"
        assert len({one for one in pacs.got if one[0] == derive_uid("result", "seg")}) == 1


def test_a_refusal_is_final_after_three_tries_and_does_not_hold_the_others(
    tmp_path: Path,
) -> None:
    refuse = status(0x0124)
    with scripted_pacs(refuse, status(0x0000), refuse, refuse, classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port)
        for _ in range(4):
            post.deliverer.tick()
            post.due_now()
        assert post.states() == {"seg": "refused", "sr": "accepted"}
        assert post.sheet().deliveries[0]["attempts"] == 3
        assert post.sheet().line.state == "failed"
        assert "pacs refused a result: status 0x0124" in post.sheet().line.reason
        # The administrator mends the PACS and sends the same bytes again.
        pacs.answers[:] = [status(0x0000)]
        ledger = post.hospital.ledger
        ledger.deliveries.resend(post.exam.job_id(), None, "cli ada")
        assert post.sheet().line.state == "analysed"
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"


def test_a_class_that_the_peer_does_not_take_is_said_by_name(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES[1:]) as pacs:
        post = Post(tmp_path, pacs.port)
        for _ in range(3):
            post.deliverer.tick()
            post.due_now()
        assert post.states() == {"seg": "replaced", "sr": "accepted"}
        reason = post.sheet().deliveries[0]["reason"]
        assert reason == "does not take Segmentation Storage; SR sent in its place"
        assert post.sheet().line.state == "delivered"


def test_an_answer_that_says_the_class_is_not_taken_leads_to_the_same(tmp_path: Path) -> None:
    no = status(0x0122)
    answers = (no, status(0x0000), no, no, status(0x0000))
    with scripted_pacs(*answers, classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port)
        for _ in range(3):
            post.deliverer.tick()
            post.due_now()
        assert post.states() == {"seg": "replaced", "sr": "accepted"}
        reason = post.sheet().deliveries[0]["reason"]
        assert reason.startswith("does not take Segmentation Storage, status 0x0122")


def test_a_peer_that_takes_none_of_an_exam_s_classes_leaves_it_failed(tmp_path: Path) -> None:
    with scripted_pacs(classes=("1.2.3",)) as pacs:
        post = Post(tmp_path, pacs.port)
        for _ in range(3):
            post.deliverer.tick()
            post.due_now()
        assert post.states() == {"seg": "replaced", "sr": "refused"}
        assert post.sheet().line.state == "failed"


def test_a_pacs_that_is_down_costs_attempts_and_nothing_else(tmp_path: Path, port: int) -> None:
    post = Post(tmp_path, port)
    post.deliverer.tick()
    assert post.states() == {"seg": "waiting", "sr": "waiting"}
    row = post.sheet().deliveries[0]
    assert row["attempts"] == 1
    assert "check address, port and firewall" in row["reason"]


def test_a_wrong_ae_title_is_said_with_what_to_check(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port)
        wrong = replace_title(post.destination, "NOBODY")
        archive, ledger = post.hospital.archive, post.hospital.ledger
        Deliverer(wrong, "FAPS", archive, ledger, lambda: None).tick()
        assert "check both AE titles" in post.sheet().deliveries[0]["reason"]
        assert not pacs.got


def replace_title(destination: Destination, ae_title: str) -> Destination:
    return destination.model_copy(update={"ae_title": ae_title})


@pytest.fixture
def listening(port: int, tmp_path: Path) -> Iterator[Listening]:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, confirm="commitment")
        settings = Listener(port=port)
        listener = Port(settings, takes_nothing)
        listener.open(post.confirmer.handlers())
        yield Listening(pacs, post, port)
        listener.close()


class Listening:
    """A PACS and a node that takes its reports."""

    def __init__(self, pacs: ScriptedPacs, post: Post, port: int) -> None:
        self.pacs, self.post, self.port = pacs, post, port


def test_a_commitment_report_on_a_new_association_confirms_the_exam(listening: Listening) -> None:
    post, pacs = listening.post, listening.pacs
    post.deliverer.tick()
    assert post.sheet().line.state == "delivered"
    post.confirmer.tick()
    (request,) = pacs.asked
    assert len(request.ReferencedSOPSequence) == 2
    assert pacs.report(listening.port, request) == 0x0000
    assert post.sheet().line.state == "confirmed"
    assert set(post.states().values()) == {"committed"}


def test_an_object_that_the_pacs_lost_is_sent_again(listening: Listening) -> None:
    post, pacs = listening.post, listening.pacs
    post.deliverer.tick()
    post.confirmer.tick()
    lost = derive_uid("result", "sr")
    assert pacs.report(listening.port, pacs.asked[0], failed=[lost]) == 0x0000
    assert post.states() == {"seg": "committed", "sr": "waiting"}
    assert post.sheet().line.state == "analysed"
    post.deliverer.tick()
    assert [uid for uid, _ in pacs.got].count(lost) == 2


def test_a_report_on_a_transaction_of_somebody_else_changes_nothing(listening: Listening) -> None:
    post, pacs = listening.post, listening.pacs
    post.deliverer.tick()
    post.confirmer.tick()
    stranger = pacs.asked[0]
    stranger.TransactionUID = "1.2.3.4"
    assert pacs.report(listening.port, stranger) == 0x0000
    assert set(post.states().values()) == {"accepted"}
