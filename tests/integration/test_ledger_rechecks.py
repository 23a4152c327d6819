"""What the ledger keeps of objects that are held or restamped."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from dicom_node.domain.delivery import DELIVER_ATTEMPTS_PERMANENT, outcome_of
from dicom_node.domain.job import JobState
from dicom_node.store import tables as t
from dicom_node.store.ledger import Ledger
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    PACS,
    VAULT,
    delivery_states,
    job_state,
    parcels,
    rows,
    send,
)

SUCCESS = outcome_of(0x0000)
BUSY = outcome_of(0xA700)
WHY = "has the study with another Patient ID"


def test_a_hold_takes_in_what_is_not_due_and_leaves_other_destinations_alone(
    ledger: Ledger,
) -> None:
    seg, sr = parcels(ledger, PACS, VAULT)
    send(ledger, seg, BUSY)
    assert ledger.rechecks.hold(sr.job_id, "pacs", WHY) == 2
    assert delivery_states(ledger) == ["held", "held"]
    assert delivery_states(ledger, "vault") == ["waiting"]
    let_pass(ledger.database, 3600)
    assert ledger.deliveries.due("pacs") == []
    assert job_state(ledger, seg.job_id) is JobState.ANALYSED
    (line,) = ledger.overview.studies()
    assert line.reason == f"pacs: {WHY}"


def test_one_word_of_a_person_lets_everything_go(ledger: Ledger) -> None:
    seg, sr = parcels(ledger, PACS)
    send(ledger, seg, SUCCESS)
    assert ledger.rechecks.hold(sr.job_id, "pacs", WHY) == 1
    assert delivery_states(ledger) == ["accepted", "held"]
    ledger.deliveries.resend(sr.job_id, None, "cli ada")
    due = ledger.deliveries.due("pacs")
    assert [parcel.released for parcel in due] == [1, 1]
    for parcel in due:
        send(ledger, parcel, SUCCESS)
    assert job_state(ledger, sr.job_id) is JobState.DELIVERED


def test_what_goes_in_place_of_a_released_object_is_released_too(ledger: Ledger) -> None:
    (seg,) = parcels(ledger, replace(PACS, roles=("seg",)))
    ledger.rechecks.hold(seg.job_id, "pacs", WHY)
    ledger.deliveries.resend(seg.job_id, None, "cli ada")
    for _ in range(DELIVER_ATTEMPTS_PERMANENT):
        send(ledger, seg, replace(outcome_of(0x0122), instead=("sr",)))
        let_pass(ledger.database, 100)
    (sr,) = ledger.deliveries.due("pacs")
    assert (sr.role, sr.released) == ("sr", 1)


def test_other_bytes_go_out_and_the_artefact_keeps_its_own(ledger: Ledger) -> None:
    seg, sr = parcels(ledger, PACS, VAULT)
    ledger.rechecks.restamp(seg.job_id, "pacs", {seg.delivery_id: "f" * 64}, "given")
    assert [one.sha256 for one in ledger.deliveries.due("pacs")] == ["f" * 64, sr.sha256]
    assert [one.sha256 for one in ledger.deliveries.due("vault")] == [sr.sha256]
    stored = {row.sha256 for row in rows(ledger, select(t.artefacts))}
    assert {seg.sha256, sr.sha256} < stored
    (event,) = rows(ledger, select(t.events).where(t.events.c.event == "restamp"))
    assert (event.from_state, event.to_state, event.reason) == ("waiting", "waiting", "given")


def test_what_may_have_arrived_counts_as_there_whatever_came_later(ledger: Ledger) -> None:
    seg, sr = parcels(ledger, PACS)
    there = ledger.rechecks.there
    assert there(seg.job_id, "pacs") == []
    ledger.deliveries.begin(seg)  # and the node dies
    assert there(seg.job_id, "pacs") == [seg.sha256]
    ledger.deliveries.end(seg, BUSY)
    assert there(seg.job_id, "pacs") == [], "it said that it did not keep it"
    send(ledger, sr, outcome_of(None))
    send(ledger, sr, BUSY)
    assert there(seg.job_id, "pacs") == [sr.sha256]
    send(ledger, seg, SUCCESS)
    ledger.deliveries.resend(seg.job_id, None, "cli ada")
    assert there(seg.job_id, "pacs") == [seg.sha256, sr.sha256]
