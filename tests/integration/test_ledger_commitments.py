"""Proof that a destination keeps what it accepted: who is asked what, and when."""

from __future__ import annotations

from dataclasses import replace

from dicom_node.domain.delivery import outcome_of
from dicom_node.domain.job import JobState
from dicom_node.store.commitments import Request
from dicom_node.store.ledger import Ledger
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    PACS,
    VAULT,
    analysed,
    delivery_states,
    job_state,
    parcels,
    send,
)

SUCCESS = outcome_of(0x0000)
BUSY = outcome_of(0xA700, "disk full")
LOST = 0x0112
WHOLE_SET = replace(VAULT, roles=("seg", "sr"))


def _delivered(ledger: Ledger) -> str:
    """An exam that the vault has accepted and not yet committed."""
    job_id = analysed(ledger)
    ledger.deliveries.plan([VAULT])
    for parcel in ledger.deliveries.due("vault"):
        send(ledger, parcel, SUCCESS)
    assert job_state(ledger, job_id) is JobState.DELIVERED
    return job_id


def test_a_commitment_is_asked_for_once_and_after_a_while_again(ledger: Ledger) -> None:
    job_id = _delivered(ledger)
    (request,) = ledger.commitments.due("vault")
    assert (request.job_id, request.destination) == (job_id, "vault")
    assert [pair[0] for pair in request.references] == ["1.2.840.2"]
    assert ledger.commitments.due("vault") == []
    let_pass(ledger.database, 61)
    (again,) = ledger.commitments.due("vault")
    assert again.references == request.references
    assert again.transaction_uid != request.transaction_uid


def test_a_set_that_is_still_being_sent_is_asked_for_as_a_whole(ledger: Ledger) -> None:
    first, *others = parcels(ledger, WHOLE_SET)
    send(ledger, first, SUCCESS)
    assert ledger.commitments.due("vault") == []
    for parcel in others:
        send(ledger, parcel, SUCCESS)
    (request,) = ledger.commitments.due("vault")
    assert named(request) == {parcel.sop_instance_uid for parcel in (first, *others)}


def test_an_object_that_arrives_late_is_asked_for_at_once(ledger: Ledger) -> None:
    first, *others = parcels(ledger, WHOLE_SET)
    send(ledger, first, SUCCESS)
    for parcel in others:
        send(ledger, parcel, BUSY)
    (request,) = ledger.commitments.due("vault")
    assert named(request) == {first.sop_instance_uid}
    let_pass(ledger.database, 10)
    for parcel in ledger.deliveries.due("vault"):
        send(ledger, parcel, SUCCESS)
    (late,) = ledger.commitments.due("vault")
    assert named(late) == {parcel.sop_instance_uid for parcel in others}


def test_a_commitment_confirms_the_job(ledger: Ledger) -> None:
    job_id = _delivered(ledger)
    (request,) = ledger.commitments.due("vault")
    assert ledger.commitments.answered(request.transaction_uid, "all") == (job_id, "vault")
    ledger.proofs.confirm(job_id, "vault", named(request), {})
    assert delivery_states(ledger, "vault") == ["committed"]
    assert job_state(ledger, job_id) is JobState.CONFIRMED
    let_pass(ledger.database, 61)
    assert ledger.commitments.due("vault") == []


def test_a_report_for_a_strangers_transaction_is_known_as_such(ledger: Ledger) -> None:
    assert ledger.commitments.answered("1.2.3", "all") is None


def test_an_object_that_the_destination_lost_is_sent_again(ledger: Ledger) -> None:
    job_id = _delivered(ledger)
    (request,) = ledger.commitments.due("vault")
    ledger.proofs.confirm(job_id, "vault", set(), dict.fromkeys(named(request), LOST))
    assert delivery_states(ledger, "vault") == ["waiting"]
    assert job_state(ledger, job_id) is JobState.ANALYSED
    (parcel,) = ledger.deliveries.due("vault")
    send(ledger, parcel, SUCCESS)
    assert job_state(ledger, job_id) is JobState.DELIVERED


def named(request: Request) -> set[str]:
    """The objects that a commitment was asked for."""
    return {uid for _, uid in request.references}


def test_a_report_proves_only_what_it_names(ledger: Ledger) -> None:
    job_id = _delivered(ledger)
    ledger.proofs.confirm(job_id, "vault", {"1.2.3"}, {})
    assert delivery_states(ledger, "vault") == ["accepted"]
    assert job_state(ledger, job_id) is JobState.DELIVERED


def test_a_destination_that_never_commits_is_given_up(ledger: Ledger) -> None:
    job_id = _delivered(ledger)
    for round_number in range(3):
        (request,) = ledger.commitments.due("vault")
        ledger.proofs.confirm(job_id, "vault", set(), dict.fromkeys(named(request), 0x0122))
        let_pass(ledger.database, 120)
        for parcel in ledger.deliveries.due("vault"):
            assert round_number < 2
            send(ledger, parcel, SUCCESS)
    assert delivery_states(ledger, "vault") == ["refused"]
    assert job_state(ledger, job_id) is JobState.FAILED


def test_a_destination_without_commitment_is_never_asked(ledger: Ledger) -> None:
    for parcel in parcels(ledger, PACS):
        send(ledger, parcel, SUCCESS)
    assert ledger.commitments.due("pacs") == []


def test_a_second_report_changes_nothing(ledger: Ledger) -> None:
    job_id = _delivered(ledger)
    (request,) = ledger.commitments.due("vault")
    ledger.proofs.confirm(job_id, "vault", named(request), {})
    ledger.proofs.confirm(job_id, "vault", set(), {"1.2.3": LOST})
    assert job_state(ledger, job_id) is JobState.CONFIRMED


def test_a_job_counts_as_confirmed_when_whoever_can_prove_it_has(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([PACS, VAULT])
    for parcel in ledger.deliveries.due("vault"):
        send(ledger, parcel, SUCCESS)
    (request,) = ledger.commitments.due("vault")
    ledger.proofs.confirm(job_id, "vault", named(request), {})
    assert job_state(ledger, job_id) is JobState.ANALYSED
    for parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, SUCCESS)
    assert job_state(ledger, job_id) is JobState.CONFIRMED
