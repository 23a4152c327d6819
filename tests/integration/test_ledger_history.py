"""The history of an exam in full: what happened, from where to where, who, and why."""

from __future__ import annotations

from sqlalchemy import select

from dicom_node.domain.delivery import DeliveryEvent, Outcome, outcome_of
from dicom_node.domain.job import MAX_ATTEMPTS
from dicom_node.store import tables as t
from dicom_node.store.ledger import Ledger
from tests.headers import cem_exam
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    EXPIRED,
    PACS,
    RESULTS,
    STORED,
    VAULT,
    analysed,
    claim,
    job_row,
    new_job,
    rows,
    send,
    sha256,
)

Line = tuple[str, str, str, str, str]
NO_WAY = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason="cannot be reached")


def history(ledger: Ledger, subject: str) -> list[Line]:
    """Event, from, to, who, why of a subject's events in their order."""
    e = t.events
    query = select(e).where(e.c.subject == subject).order_by(e.c.id)
    return [
        (row.event, row.from_state, row.to_state, row.actor, row.reason)
        for row in rows(ledger, query)
    ]


def test_a_job_that_is_lost_fails_and_is_done_in_the_end(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    claim(ledger, job_id, EXPIRED, "one")
    claim(ledger, job_id, EXPIRED, "two")
    assert ledger.jobs.take_back_leases() == [job_id]
    third = claim(ledger, job_id, owner="three")
    ledger.jobs.retry(third, "database refused")
    let_pass(ledger.database, 100)
    ledger.jobs.finish(claim(ledger, job_id, owner="four"), RESULTS, STORED)
    assert history(ledger, "job")[1:] == [
        ("claimed", "queued", "analysing", "one", ""),
        ("claimed", "analysing", "analysing", "two", "the lease had run out"),
        ("lease_lost", "analysing", "queued", "dispatch", "worker two went silent"),
        ("claimed", "queued", "analysing", "three", ""),
        ("retry", "analysing", "queued", "three", "database refused"),
        ("claimed", "queued", "analysing", "four", ""),
        ("results_stored", "analysing", "analysed", "four", ""),
    ]
    row = job_row(ledger, job_id)
    told = rows(ledger, select(t.events.c.study_id).where(t.events.c.subject == "job"))
    assert {event.study_id for event in told} == {row.study_id}
    assert (row.lease_until, row.bundle, row.updated_at > row.created_at) == (None, "FAPS 0", True)


def test_a_job_that_nobody_can_do_says_why_it_failed(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    for _ in range(MAX_ATTEMPTS + 1):
        claim(ledger, job_id, EXPIRED)
    ledger.jobs.take_back_leases()
    assert ledger.jobs.give_up_exhausted() == [job_id]
    why = "4 attempts failed, no report could be made; worker worker went silent"
    assert history(ledger, "job")[-1] == ("gave_up", "queued", "failed", "dispatch", why)


def test_a_worker_reads_its_images_by_header_and_hash(ledger: Ledger) -> None:
    wanted = sorted(cem_exam(("R CC",)), key=lambda image: image.sop_instance_uid)
    job = claim(ledger, new_job(ledger, wanted[::-1]))
    other = claim(ledger, new_job(ledger, cem_exam(("L CC",), study_instance_uid="1.2.3")))
    assert ledger.jobs.inputs(job) == [
        (image, sha256(image.sop_instance_uid, "")) for image in wanted
    ]
    assert len(ledger.jobs.inputs(other)) == 2


def test_a_result_that_arrives_at_the_third_attempt(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([VAULT])
    (parcel,) = ledger.deliveries.due("vault")
    send(ledger, parcel, outcome_of(0xA700, "busy"))
    let_pass(ledger.database, 10)
    send(ledger, parcel, outcome_of(None))
    let_pass(ledger.database, 20)
    ledger.deliveries.postpone(ledger.deliveries.due("vault"), NO_WAY)
    let_pass(ledger.database, 40)
    send(ledger, parcel, outcome_of(0))
    ledger.proofs.confirm(job_id, "vault", set(), {parcel.sop_instance_uid: 0x0112})
    send(ledger, parcel, outcome_of(0xB000))
    ledger.proofs.confirm(job_id, "vault", {parcel.sop_instance_uid}, {})
    ledger.deliveries.resend(job_id, "vault", "cli ada")
    assert history(ledger, "delivery") == [
        ("send", "waiting", "sent", "deliver", ""),
        ("transient", "sent", "waiting", "deliver", "status 0xA700: busy"),
        ("send", "waiting", "sent", "deliver", ""),
        ("no_answer", "sent", "unknown", "deliver", "no answer"),
        ("transient", "unknown", "unknown", "deliver", "cannot be reached"),
        ("send", "unknown", "sent", "deliver", ""),
        ("success", "sent", "accepted", "deliver", "status 0x0000"),
        ("commit_failure", "accepted", "waiting", "deliver", "not committed, reason 0x0112"),
        ("send", "waiting", "sent", "deliver", ""),
        ("success", "sent", "accepted", "deliver", "status 0xB000"),
        ("commit", "accepted", "committed", "deliver", "committed"),
        ("resend", "committed", "waiting", "cli ada", "by a person"),
    ]
    assert [line[:4] for line in history(ledger, "job")[-5:]] == [
        ("all_delivered", "analysed", "delivered", "deliver"),
        ("sent_back", "delivered", "analysed", "deliver"),
        ("all_delivered", "analysed", "delivered", "deliver"),
        ("all_confirmed", "delivered", "confirmed", "confirm"),
        ("sent_back", "confirmed", "analysed", "deliver"),
    ]


def test_what_a_delivery_remembers_of_its_attempts(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    first, second = ledger.deliveries.due("pacs")
    send(ledger, first, outcome_of(0xA900))
    send(ledger, second, outcome_of(None))
    d = t.deliveries
    one, two = rows(ledger, select(d).order_by(d.c.id))
    assert (one.attempts, one.refusals, one.last_status, one.reached_at) == (1, 1, 0xA900, None)
    assert (two.attempts, two.refusals, two.last_status) == (1, 0, None)
    assert two.reached_at is not None
    # 5 s after the first attempt, a quarter more or less.
    assert all(3.7 < row.next_at - row.updated_at < 6.3 for row in (one, two))
    ledger.deliveries.postpone([first, second], NO_WAY)
    one, two = rows(ledger, select(d).order_by(d.c.id))
    assert (one.attempts, one.refusals, two.attempts) == (2, 1, 2)
    assert all(7.4 < row.next_at - row.updated_at < 12.6 for row in (one, two))
