"""What the ledger makes of an object whose class a destination does not take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from dicom_node.domain.delivery import outcome_of
from dicom_node.domain.job import JobState
from dicom_node.store import tables as t
from dicom_node.store.deliveries import Parcel, Plan
from dicom_node.store.jobs import Artefact
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY, low_energy
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import STORED, artefact, claim, job_state, new_job, rows, send

SUCCESS = outcome_of(0x0000)
NOT_TAKEN = outcome_of(0x0122)
LONG = 100.0  # seconds: longer than the pauses between three attempts
SEG_ONLY = Plan(name="pacs", roles=("seg",), needs_commitment=True)


def results() -> list[Artefact]:
    """One object of each of the roles that the tests use."""
    return [
        replace(
            artefact("sr"),
            role=role,
            sha256=letter * 64,
            sop_instance_uid=f"1.2.{number}",
            sop_class_uid=f"1.2.840.{number}",
        )
        for number, (role, letter) in enumerate([("seg", "a"), ("sc", "b"), ("sr", "c")])
    ]


def planned(ledger: Ledger, plan: Plan = SEG_ONLY) -> str:
    job_id = new_job(ledger)
    ledger.jobs.finish(claim(ledger, job_id), results(), STORED)
    ledger.deliveries.plan([plan])
    return job_id


def refuse(ledger: Ledger, parcel: Parcel, *instead: str) -> None:
    while parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, replace(NOT_TAKEN, instead=instead))
        let_pass(ledger.database, LONG)


def states(ledger: Ledger) -> dict[str, str]:
    query = select(t.artefacts.c.role, t.deliveries.c.state).join_from(t.deliveries, t.artefacts)
    return {row.role: row.state for row in rows(ledger, query)}


def test_others_take_the_place_of_what_is_not_taken_and_deliver_the_exam(ledger: Ledger) -> None:
    job_id = planned(ledger)
    (seg,) = ledger.deliveries.due("pacs")
    refuse(ledger, seg, "sc", "sr")
    assert states(ledger) == {"seg": "replaced", "sc": "waiting", "sr": "waiting"}
    assert job_state(ledger, job_id) is JobState.ANALYSED
    for parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, SUCCESS)
    assert job_state(ledger, job_id) is JobState.DELIVERED
    (row,) = rows(ledger, select(t.deliveries).where(t.deliveries.c.id == seg.delivery_id))
    assert row.reason == "status 0x0122; SC and SR sent in its place"
    assert ledger.fallbacks.counts() == {("pacs", "seg"): 1}
    (line,) = ledger.overview.studies()
    assert line.reason == f"pacs: {row.reason}"


def test_the_first_no_puts_nothing_in_its_place(ledger: Ledger) -> None:
    planned(ledger)
    (seg,) = ledger.deliveries.due("pacs")
    send(ledger, seg, replace(NOT_TAKEN, instead=("sc",)))
    assert states(ledger) == {"seg": "waiting"}
    assert ledger.destinations.not_taken() == {}


def test_a_class_that_is_taken_once_is_no_longer_one_that_is_not(ledger: Ledger) -> None:
    first = planned(ledger)
    refuse(ledger, ledger.deliveries.due("pacs")[0])
    again = ledger.revisions.rerun(STUDY, "cli ada")
    ledger.jobs.finish(claim(ledger, again), [replace(results()[0], key="new")], STORED)
    ledger.deliveries.plan([SEG_ONLY])
    (seg,) = ledger.deliveries.due("pacs")
    assert seg.job_id != first
    assert ledger.destinations.not_taken() == {"pacs": ("1.2.840.0",)}
    send(ledger, seg, SUCCESS)
    assert ledger.destinations.not_taken() == {}


def test_what_went_in_its_place_is_confirmed_like_everything_else(ledger: Ledger) -> None:
    job_id = planned(ledger)
    refuse(ledger, ledger.deliveries.due("pacs")[0], "sc")
    (sc,) = ledger.deliveries.due("pacs")
    send(ledger, sc, SUCCESS)
    (request,) = ledger.commitments.due("pacs")
    assert [uid for _, uid in request.references] == [sc.sop_instance_uid]
    ledger.proofs.confirm(job_id, "pacs", {sc.sop_instance_uid}, {})
    assert job_state(ledger, job_id) is JobState.CONFIRMED


def test_what_goes_there_already_is_not_planned_twice(ledger: Ledger) -> None:
    job_id = planned(ledger, replace(SEG_ONLY, roles=("seg", "sr"), needs_commitment=False))
    seg, sr = ledger.deliveries.due("pacs")
    send(ledger, sr, SUCCESS)
    refuse(ledger, seg, "sr")
    assert states(ledger) == {"seg": "replaced", "sr": "accepted"}
    assert job_state(ledger, job_id) is JobState.DELIVERED


@pytest.mark.parametrize("instead", [(), ("key_objects",)])
def test_with_nothing_to_go_in_its_place_a_refusal_stays_one(
    ledger: Ledger, instead: tuple[str, ...]
) -> None:
    job_id = planned(ledger)
    refuse(ledger, ledger.deliveries.due("pacs")[0], *instead)
    assert states(ledger) == {"seg": "refused"}
    assert job_state(ledger, job_id) is JobState.FAILED


def test_an_exam_fails_when_what_went_in_its_place_is_refused_too(ledger: Ledger) -> None:
    job_id = planned(ledger)
    refuse(ledger, ledger.deliveries.due("pacs")[0], "sc")
    refuse(ledger, ledger.deliveries.due("pacs")[0])
    assert states(ledger) == {"seg": "replaced", "sc": "refused"}
    assert job_state(ledger, job_id) is JobState.FAILED


def test_after_a_resend_the_same_end_is_reached_without_new_objects(ledger: Ledger) -> None:
    job_id = planned(ledger)
    for _ in range(2):
        (seg, *_) = ledger.deliveries.due("pacs")
        refuse(ledger, seg, "sc")
        for parcel in ledger.deliveries.due("pacs"):
            send(ledger, parcel, SUCCESS)
        assert states(ledger) == {"seg": "replaced", "sc": "accepted"}
        assert job_state(ledger, job_id) is JobState.DELIVERED
        assert ledger.deliveries.resend(job_id, None, "cli ada") == 2
    # The administrator has permitted the class: the object itself arrives.
    for parcel in ledger.deliveries.due("pacs"):
        send(ledger, parcel, SUCCESS)
    assert states(ledger) == {"seg": "accepted", "sc": "accepted"}
    assert ledger.fallbacks.counts() == {}


def test_a_class_that_is_not_taken_costs_the_next_exam_one_attempt(ledger: Ledger) -> None:
    plan = replace(SEG_ONLY, needs_commitment=False)
    attempts = []
    for study in ("1.2.1", "1.2.2"):
        job_id = new_job(ledger, [low_energy(study_instance_uid=study)])
        ledger.jobs.finish(claim(ledger, job_id), results(), STORED)
        ledger.deliveries.plan([plan])
        (seg,) = ledger.deliveries.due("pacs")
        refuse(ledger, seg)
        (row,) = rows(ledger, select(t.deliveries).where(t.deliveries.c.id == seg.delivery_id))
        attempts.append(row.attempts)
    assert attempts == [3, 1]
    assert ledger.destinations.not_taken() == {"pacs": ("1.2.840.0",)}
    # A person has permitted the class there: what was is forgotten.
    ledger.deliveries.resend(seg.job_id, "pacs", "cli ada")
    assert ledger.destinations.not_taken() == {}
    send(ledger, seg, NOT_TAKEN)
    assert ledger.deliveries.due("pacs") == []
    let_pass(ledger.database, LONG)
    assert ledger.deliveries.due("pacs") == [seg]
