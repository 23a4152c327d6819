"""Objects that wait: for images, for a destination that is down, for a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from dicom_node.domain.delivery import DeliveryEvent, Outcome, Patience, outcome_of
from dicom_node.domain.job import JobState
from dicom_node.store import tables as t
from dicom_node.store.deliveries import Parcel
from dicom_node.store.ledger import Ledger
from tests.headers import cem_exam
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    PACS,
    RESULTS,
    STORED,
    VAULT,
    analysed,
    claim,
    delivery_states,
    job_row,
    job_state,
    new_job,
    parcels,
    rows,
    send,
)

SUCCESS, BUSY, SILENT = outcome_of(0x0000), outcome_of(0xA700, "busy"), outcome_of(None)
REFUSED = outcome_of(0xC000, "no")
UNREACHABLE = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason="cannot be reached")
HOUR_S = 3600.0
AN_HOUR = Patience(within_s=HOUR_S)
DOWN = "connection refused"


def delivery_rows(ledger: Ledger, destination: str = "pacs") -> list[Any]:
    d = t.deliveries
    return rows(ledger, select(d).where(d.c.destination == destination).order_by(d.c.id))


def reasons(ledger: Ledger, destination: str = "pacs") -> list[str]:
    return [row.reason for row in delivery_rows(ledger, destination)]


def last_event(ledger: Ledger, parcel: Parcel) -> tuple[str, str]:
    """Name and reason of the last thing that happened to an object."""
    e = t.events
    own = (e.c.subject == "delivery", e.c.subject_id.startswith(f"{parcel.delivery_id} "))
    *_, row = rows(ledger, select(e).where(*own).order_by(e.c.id))
    return row.event, row.reason


def two_exams(ledger: Ledger) -> list[list[Parcel]]:
    """What is due of each of two exams at the PACS."""
    exams = []
    for study in ("1.2.1", "1.2.2"):
        job_id = new_job(ledger, cem_exam(("R CC",), study_instance_uid=study))
        ledger.jobs.finish(claim(ledger, job_id), RESULTS, STORED)
        ledger.deliveries.plan([PACS])
        due = ledger.deliveries.due("pacs")
        ledger.deliveries.hold_back(due, "", HOUR_S)
        exams.append(due)
    return exams


def test_an_object_knows_its_images_and_how_long_it_has_waited(ledger: Ledger) -> None:
    images = cem_exam(("R CC",))
    for exam in (images, cem_exam(("L CC",), study_instance_uid="1.2.3")):
        ledger.jobs.finish(claim(ledger, new_job(ledger, exam)), RESULTS, STORED)
    ledger.deliveries.plan([PACS])
    let_pass(ledger.database, 100)
    parcel, _ = ledger.deliveries.due("pacs")
    waited_s, found = ledger.deliveries.sources(parcel)
    assert waited_s == pytest.approx(100, abs=10)
    assert sorted(found) == sorted(
        (image.series_instance_uid, image.sop_instance_uid) for image in images
    )


def test_what_is_held_back_waits_without_an_attempt(ledger: Ledger) -> None:
    first, second = parcels(ledger, PACS, VAULT)
    ledger.deliveries.hold_back([first], "waits: no images", 30)
    assert ledger.deliveries.due("pacs") == [second]
    assert len(ledger.deliveries.due("vault")) == 1
    held, other = delivery_rows(ledger)
    assert (held.state, held.attempts, held.reason) == ("waiting", 0, "waits: no images")
    assert other.reason == ""
    let_pass(ledger.database, 29)
    assert ledger.deliveries.due("pacs") == [second]
    let_pass(ledger.database, 2)
    assert ledger.deliveries.due("pacs") == [first, second]


def test_what_has_arrived_is_not_held_back(ledger: Ledger) -> None:
    due = parcels(ledger, PACS)
    for parcel in due:
        send(ledger, parcel, SUCCESS)
    ledger.deliveries.hold_back(due, "waits", 30)
    assert reasons(ledger) == ["status 0x0000", "status 0x0000"]


def test_a_remark_is_kept_with_the_attempt(ledger: Ledger) -> None:
    parcel, _ = parcels(ledger, PACS)
    assert ledger.deliveries.begin(parcel, "sent without its images") is True
    assert last_event(ledger, parcel) == ("send", "sent without its images")
    ledger.deliveries.end(parcel, SUCCESS)
    assert ledger.deliveries.begin(parcel) is False  # it is there


def test_what_waits_for_a_destination_that_is_down_says_so(ledger: Ledger) -> None:
    first, _ = parcels(ledger, PACS, VAULT)
    send(ledger, first, BUSY)
    assert ledger.deliveries.down("pacs", DOWN, AN_HOUR) == 0
    assert reasons(ledger) == ["status 0xA700: busy", DOWN]  # what was said of it stays
    assert reasons(ledger, "vault") == [""]
    assert [row.attempts for row in delivery_rows(ledger)] == [1, 0]
    assert delivery_states(ledger) == ["waiting", "waiting"]


def test_what_has_arrived_at_a_destination_that_is_down_stays_there(ledger: Ledger) -> None:
    for parcel in parcels(ledger, PACS):
        send(ledger, parcel, SUCCESS)
    let_pass(ledger.database, HOUR_S + 1)
    assert ledger.deliveries.down("pacs", DOWN, AN_HOUR) == 0
    assert delivery_states(ledger) == ["accepted", "accepted"]
    assert reasons(ledger) == ["status 0x0000", "status 0x0000"]


def test_the_time_ends_while_a_destination_is_down(ledger: Ledger) -> None:
    (first, _), (_, _) = two_exams(ledger)
    let_pass(ledger.database, HOUR_S - 60)
    assert ledger.deliveries.down("pacs", DOWN, AN_HOUR) == 0
    let_pass(ledger.database, 61)
    assert ledger.deliveries.down("elsewhere", DOWN, AN_HOUR) == 0
    assert ledger.deliveries.down("pacs", DOWN, AN_HOUR) == 4
    assert delivery_states(ledger) == ["refused"] * 4
    assert reasons(ledger) == [f"no time left; last: {DOWN}"] * 4
    assert {row.reached_at for row in delivery_rows(ledger)} == {None}  # nothing ever left
    assert job_state(ledger, first.job_id) is JobState.FAILED
    row = job_row(ledger, first.job_id)
    assert row.reason == f"pacs refused a result: no time left; last: {DOWN}"
    assert ledger.deliveries.down("pacs", DOWN, AN_HOUR) == 0


def test_what_was_on_its_way_to_a_destination_that_is_down_may_be_there(ledger: Ledger) -> None:
    sent, _ = parcels(ledger, PACS, VAULT)
    (to_vault,) = ledger.deliveries.due("vault")
    for parcel in (sent, to_vault):
        ledger.deliveries.begin(parcel)  # and the node dies
    assert ledger.deliveries.down("pacs", DOWN, AN_HOUR) == 0
    assert delivery_states(ledger) == ["unknown", "waiting"]
    assert delivery_states(ledger, "vault") == ["sent"]
    assert last_event(ledger, sent) == ("no_answer", DOWN)
    assert delivery_rows(ledger)[0].reached_at is not None
    assert delivery_rows(ledger)[0].last_status is None


def test_only_what_ended_is_counted_when_a_destination_is_down(ledger: Ledger) -> None:
    sent, _ = parcels(ledger, PACS)
    ledger.deliveries.begin(sent)
    let_pass(ledger.database, HOUR_S)
    assert ledger.deliveries.down("pacs", DOWN, AN_HOUR) == 1
    assert delivery_states(ledger) == ["refused", "refused"]
    on_its_way, never_sent = delivery_rows(ledger)
    assert on_its_way.reached_at is not None
    assert never_sent.reached_at is None


def test_what_was_not_answered_may_be_there_though_its_time_is_over(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([VAULT])
    (parcel,) = ledger.deliveries.due("vault")
    let_pass(ledger.database, 72 * HOUR_S)
    send(ledger, parcel, SILENT)
    (row,) = delivery_rows(ledger, "vault")
    assert (row.state, row.reason) == ("refused", "no time left; last: no answer")
    assert row.reached_at is not None  # a note on withdrawn results must name it


def test_what_cannot_be_reached_ends_by_its_own_patience(ledger: Ledger) -> None:
    due = parcels(ledger, PACS)
    let_pass(ledger.database, HOUR_S + 1)
    send(ledger, due[0], SUCCESS)
    ledger.deliveries.postpone(due, UNREACHABLE, AN_HOUR)  # the first one has arrived meanwhile
    assert delivery_states(ledger) == ["accepted", "refused"]
    assert [row.attempts for row in delivery_rows(ledger)] == [1, 1]
    assert job_state(ledger, due[0].job_id) is JobState.FAILED
    assert last_event(ledger, due[1]) == ("refusal", "no time left; last: cannot be reached")


def test_an_attempt_ends_by_the_patience_of_its_destination(ledger: Ledger) -> None:
    first, second = parcels(ledger, PACS)
    ledger.deliveries.begin(first)
    slow = Patience(first_s=1000, within_s=HOUR_S)
    assert ledger.deliveries.end(first, BUSY, slow).value == "waiting"
    row, _ = delivery_rows(ledger)
    assert 670 < row.next_at - row.updated_at < 1130  # 900 at most, a quarter more or less
    let_pass(ledger.database, HOUR_S)
    ledger.deliveries.begin(second)
    assert ledger.deliveries.end(second, SILENT, slow).value == "refused"


def test_pauses_are_spread_so_that_not_all_come_back_together(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([replace(PACS, name=f"pacs {number}") for number in range(8)])
    pauses = set()
    for number in range(8):
        parcel, _ = ledger.deliveries.due(f"pacs {number}")
        send(ledger, parcel, BUSY)
        row, _ = delivery_rows(ledger, f"pacs {number}")
        pauses.add(round(row.next_at - row.updated_at, 3))
    assert len(pauses) > 1


def test_a_person_sends_only_what_ended_again(ledger: Ledger) -> None:
    refused, waiting = parcels(ledger, PACS, VAULT)
    (arrived,) = ledger.deliveries.due("vault")
    send(ledger, arrived, SUCCESS)
    for _ in range(3):
        send(ledger, refused, REFUSED)
    send(ledger, waiting, BUSY)
    assert ledger.deliveries.resend(refused.job_id, None, "cli ada", ended_only=True) == 1
    assert ledger.deliveries.due("pacs") == [refused]
    assert delivery_states(ledger, "vault") == ["accepted"]
    assert last_event(ledger, refused) == ("resend", "by a person")
    row, _ = delivery_rows(ledger)
    assert (row.attempts, row.refusals, row.asked_at, row.asks) == (0, 0, None, 0)
    assert row.created_at == row.next_at == row.updated_at


def test_what_is_still_tried_does_not_keep_a_person_from_the_rest(ledger: Ledger) -> None:
    waiting, refused = parcels(ledger, PACS)
    send(ledger, waiting, BUSY)
    for _ in range(3):
        send(ledger, refused, REFUSED)
    assert ledger.deliveries.resend(refused.job_id, None, "cli ada") == 2
    assert ledger.deliveries.due("pacs") == [waiting, refused]


def test_what_is_sent_again_has_all_its_time_again(ledger: Ledger) -> None:
    parcel, _ = parcels(ledger, PACS)
    let_pass(ledger.database, 72 * HOUR_S)
    send(ledger, parcel, BUSY)
    assert delivery_states(ledger)[0] == "refused"
    ledger.deliveries.resend(parcel.job_id, None, "cli ada", ended_only=True)
    send(ledger, parcel, BUSY)
    assert delivery_states(ledger)[0] == "waiting"


def test_what_was_lost_there_is_asked_for_as_if_never_before(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([VAULT])
    (parcel,) = ledger.deliveries.due("vault")
    send(ledger, parcel, SUCCESS)
    ledger.commitments.due("vault")
    ledger.proofs.confirm(parcel.job_id, "vault", set(), {parcel.sop_instance_uid: 0x0112})
    send(ledger, parcel, SUCCESS)
    (row,) = delivery_rows(ledger, "vault")
    assert (row.state, row.asked_at, row.asks) == ("accepted", None, 0)
    assert len(ledger.commitments.due("vault")) == 1


def test_what_is_sent_again_is_asked_for_anew(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([VAULT])
    (parcel,) = ledger.deliveries.due("vault")
    send(ledger, parcel, SUCCESS)
    assert len(ledger.commitments.due("vault")) == 1
    (row,) = delivery_rows(ledger, "vault")
    assert row.asked_at is not None
    ledger.deliveries.resend(parcel.job_id, "vault", "cli ada")
    (row,) = delivery_rows(ledger, "vault")
    assert (row.asked_at, row.asks) == (None, 0)
