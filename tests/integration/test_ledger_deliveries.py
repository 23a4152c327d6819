"""Stored objects on their way to each destination, and what that makes of the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from dicom_node.domain.delivery import DeliveryEvent, Outcome, outcome_of
from dicom_node.domain.job import JobState
from dicom_node.store import tables as t
from dicom_node.store.deliveries import Parcel
from dicom_node.store.jobs import Ending
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY, low_energy
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    FAILED,
    PACS,
    RESULTS,
    STORED,
    UNSUITABLE,
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
    sha256,
)

SUCCESS = outcome_of(0x0000)
BUSY = outcome_of(0xA700, "disk full")
REFUSED = outcome_of(0xA900, "wrong class")
SILENT = outcome_of(None)
UNREACHABLE = Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason="pacs: connection refused")


def _delivery(ledger: Ledger, parcel: Parcel) -> Any:
    query = select(t.deliveries).where(t.deliveries.c.id == parcel.delivery_id)
    (row,) = rows(ledger, query)
    return row


def test_every_dicom_result_goes_to_every_destination_that_wants_it(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    assert ledger.deliveries.plan([PACS, VAULT]) == 1
    assert ledger.deliveries.plan([PACS, VAULT]) == 0
    due = ledger.deliveries.due("pacs")
    assert [parcel.sha256 for parcel in due] == [
        sha256("seg", "R-CC", ""),
        sha256("sr", "exam", ""),
    ]
    assert {(parcel.job_id, parcel.study_instance_uid) for parcel in due} == {(job_id, STUDY)}
    assert [parcel.sop_class_uid for parcel in ledger.deliveries.due("vault")] == ["1.2.840.2"]
    assert ledger.deliveries.due("elsewhere") == []


@pytest.mark.parametrize(
    ("ending", "state"), [(UNSUITABLE, JobState.UNSUITABLE), (FAILED, JobState.FAILED)]
)
def test_the_report_on_an_exam_without_findings_is_sent_too(
    ledger: Ledger, ending: Ending, state: JobState
) -> None:
    job_id = analysed(ledger, ending)
    ledger.deliveries.plan([PACS])
    for parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, SUCCESS)
    assert delivery_states(ledger) == ["accepted", "accepted"]
    assert job_state(ledger, job_id) is state


def test_nothing_is_planned_before_the_results_are_stored(ledger: Ledger) -> None:
    claim(ledger, new_job(ledger))
    assert ledger.deliveries.plan([PACS]) == 0


def test_objects_of_one_exam_go_together_the_oldest_exam_first(ledger: Ledger) -> None:
    first = new_job(ledger, [low_energy(study_instance_uid="1.2.1")])
    let_pass(ledger.database, 10)
    second = new_job(ledger, [low_energy(study_instance_uid="1.2.2")])
    for job_id in (second, first):
        job = claim(ledger, job_id)
        ledger.jobs.finish(job, RESULTS, Ending(event=UNSUITABLE.event))
        ledger.deliveries.plan([PACS])
    assert [parcel.job_id for parcel in ledger.deliveries.due("pacs")] == [first, first]
    assert len(ledger.deliveries.due("pacs", limit=1)) == 1
    for parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, SUCCESS)
    assert {parcel.job_id for parcel in ledger.deliveries.due("pacs")} == {second}


def test_what_was_restamped_for_a_destination_goes_there_and_nowhere_else(ledger: Ledger) -> None:
    _, sr = parcels(ledger, PACS, VAULT)
    ledger.rechecks.restamp(sr.job_id, "pacs", {sr.delivery_id: "f" * 64}, "given")
    assert [parcel.sha256 for parcel in ledger.deliveries.due("pacs")][1:] == ["f" * 64]
    assert [parcel.sha256 for parcel in ledger.deliveries.due("vault")] == [sr.sha256]


def test_a_job_is_delivered_when_every_destination_has_every_object(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([PACS, VAULT])
    to_pacs, to_vault = ledger.deliveries.due("pacs"), ledger.deliveries.due("vault")
    for parcel in (*to_pacs, *to_vault):
        assert job_state(ledger, job_id) is JobState.ANALYSED
        send(ledger, parcel, SUCCESS)
    assert job_state(ledger, job_id) is JobState.DELIVERED
    assert ledger.deliveries.due("pacs") == []


def test_a_busy_destination_is_tried_again_later_and_later(ledger: Ledger) -> None:
    parcel, _ = parcels(ledger, PACS)
    for attempts, pause in ((1, 5), (2, 10), (3, 20)):
        send(ledger, parcel, BUSY)
        row = _delivery(ledger, parcel)
        assert (row.state, row.attempts, row.last_status) == ("waiting", attempts, 0xA700)
        assert parcel not in ledger.deliveries.due("pacs")
        let_pass(ledger.database, pause * 1.26)
        assert parcel in ledger.deliveries.due("pacs")


def test_an_empty_answer_means_unknown_and_the_same_bytes_again(ledger: Ledger) -> None:
    parcel, _ = parcels(ledger, PACS)
    send(ledger, parcel, SILENT)
    assert delivery_states(ledger)[0] == "unknown"
    let_pass(ledger.database, 10)
    assert ledger.deliveries.due("pacs")[0] == parcel
    send(ledger, parcel, SUCCESS)
    assert delivery_states(ledger)[0] == "accepted"


def test_a_refusal_is_final_the_third_time(ledger: Ledger) -> None:
    parcel, _ = parcels(ledger, PACS)
    for state in ("waiting", "waiting", "refused"):
        send(ledger, parcel, REFUSED)
        assert delivery_states(ledger)[0] == state
        let_pass(ledger.database, 100)
    assert parcel not in ledger.deliveries.due("pacs")
    assert _delivery(ledger, parcel).reason == "status 0xA900: wrong class"


def test_after_three_days_trying_ends(ledger: Ledger) -> None:
    first, second = parcels(ledger, PACS)
    let_pass(ledger.database, 72 * 3600)
    send(ledger, first, BUSY)
    ledger.deliveries.postpone([second], UNREACHABLE)
    assert delivery_states(ledger) == ["refused", "refused"]
    assert "no time left; last: status 0xA700" in _delivery(ledger, first).reason
    assert ledger.deliveries.due("pacs") == []


def test_an_unreachable_destination_delays_every_object_and_only_its_own(ledger: Ledger) -> None:
    due = parcels(ledger, PACS, VAULT)
    ledger.deliveries.postpone(due, UNREACHABLE)
    assert delivery_states(ledger) == ["waiting", "waiting"]
    assert ledger.deliveries.due("pacs") == []
    assert len(ledger.deliveries.due("vault")) == 1
    assert _delivery(ledger, due[0]).attempts == 1
    let_pass(ledger.database, 10)
    assert ledger.deliveries.due("pacs") == due


def test_an_object_on_its_way_when_the_node_died_is_due_again(ledger: Ledger) -> None:
    parcel, _ = parcels(ledger, PACS)
    ledger.deliveries.begin(parcel)
    assert parcel in ledger.deliveries.due("pacs")
    send(ledger, parcel, SUCCESS)
    assert delivery_states(ledger)[0] == "accepted"


def test_an_object_on_its_way_when_the_node_died_waits_for_an_unreachable_destination(
    ledger: Ledger,
) -> None:
    due = parcels(ledger, PACS)
    ledger.deliveries.begin(due[0])
    ledger.deliveries.postpone(due, UNREACHABLE)
    assert delivery_states(ledger) == ["unknown", "waiting"]
    assert ledger.deliveries.due("pacs") == []


def test_a_person_can_send_everything_again(ledger: Ledger) -> None:
    due = parcels(ledger, PACS)
    for parcel in due:
        send(ledger, parcel, SUCCESS)
    assert ledger.deliveries.resend(due[0].job_id, None, "cli ada") == 2
    assert job_state(ledger, due[0].job_id) is JobState.ANALYSED
    assert ledger.deliveries.due("pacs") == due
    resent = rows(ledger, select(t.events).where(t.events.c.event == "resend"))
    assert {event.actor for event in resent} == {"cli ada"}


def test_a_person_can_send_again_what_was_refused_or_waits(ledger: Ledger) -> None:
    refused, waiting = parcels(ledger, PACS, VAULT)
    for _ in range(3):
        send(ledger, refused, REFUSED)
    send(ledger, waiting, BUSY)
    assert ledger.deliveries.due("pacs") == []
    assert ledger.deliveries.resend(refused.job_id, "pacs", "cli ada") == 2
    assert ledger.deliveries.due("pacs") == [refused, waiting]
    # The count of refusals begins anew.
    send(ledger, refused, REFUSED)
    assert delivery_states(ledger) == ["waiting", "waiting"]


def test_an_exam_of_which_no_destination_takes_anything_is_done(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([replace(PACS, roles=())])
    assert job_state(ledger, job_id) is JobState.DELIVERED


def test_without_a_destination_results_stay_here(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([])
    assert job_state(ledger, job_id) is JobState.ANALYSED


def test_a_partial_exam_stays_partial_when_it_is_delivered(ledger: Ledger) -> None:
    job_id = analysed(ledger, replace(STORED, reason_code="partial", reason="L CC is missing"))
    ledger.deliveries.plan([PACS])
    for parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, SUCCESS)
    row = job_row(ledger, job_id)
    assert (row.state, row.reason_code, row.reason) == ("delivered", "partial", "L CC is missing")


def test_nothing_is_sent_again_where_nothing_was_planned(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    assert ledger.deliveries.resend(job_id, None, "cli ada") == 0
    assert job_state(ledger, job_id) is JobState.ANALYSED
