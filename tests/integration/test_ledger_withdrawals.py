"""Results that a newer revision replaces: cancelled where they wait, noted where they are."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.domain.delivery import DELIVER_BY_S
from dicom_node.domain.job import (
    JobState,
)
from dicom_node.domain.rejection import (
    REJECTION,
    Reason,
)
from dicom_node.store import tables as t
from dicom_node.store.jobs import (
    Ending,
)
from dicom_node.store.ledger import Ledger
from tests.headers import (
    STUDY,
    low_energy,
)
from tests.integration.databases import (
    let_pass,
)
from tests.integration.ledger_acts import (
    FAILED,
    PACS,
    RESULTS,
    STORED,
    UNSUITABLE,
    analysed,
    artefact,
    claim,
    close,
    delivery_states,
    job_row,
    job_state,
    new_job,
    receive,
    rows,
    send,
    sha256,
)
from tests.integration.withdrawal_acts import (
    ADA,
    BUSY,
    SILENT,
    SUCCESS,
    delivered,
    events_of,
    note_for,
    second,
    send_all,
    write_all,
)


def test_what_still_waits_is_not_sent_once_newer_results_are_planned(ledger: Ledger) -> None:
    first = analysed(ledger)
    ledger.deliveries.plan([PACS])
    seg, sr = ledger.deliveries.due("pacs")
    send(ledger, seg, SUCCESS)
    send(ledger, sr, BUSY)
    new = second(ledger)
    let_pass(ledger.database, 100)
    assert {parcel.job_id for parcel in ledger.deliveries.due("pacs")} == {new}
    assert delivery_states(ledger) == ["accepted", "cancelled", "waiting", "waiting"]
    assert (job_row(ledger, first).state, job_row(ledger, first).reason) == (
        "withdrawn", "withdrawn: revision 2 took its place",
    )  # fmt: skip
    (event,) = events_of(ledger, "cancel")
    assert (event.from_state, event.to_state, event.actor) == ("waiting", "cancelled", "deliver")
    send_all(ledger)
    assert job_state(ledger, new) is JobState.ANALYSED  # the vault has not been sent its own
    send_all(ledger, destination="vault")
    assert job_state(ledger, new) is JobState.DELIVERED


def test_an_object_taken_for_sending_is_dropped_before_its_first_byte(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    seg, sr = ledger.deliveries.due("pacs")
    assert ledger.deliveries.begin(seg)
    second(ledger)
    # The one on its way ends as it ends; the next one does not begin.
    ledger.deliveries.end(seg, SUCCESS)
    assert not ledger.deliveries.begin(sr)
    ledger.deliveries.postpone([sr], BUSY)
    assert delivery_states(ledger)[:2] == ["accepted", "cancelled"]
    assert {event.actor for event in events_of(ledger, "cancel")} == {"deliver"}


@pytest.mark.parametrize("ending", [FAILED, UNSUITABLE])
def test_a_report_without_findings_takes_no_results_place(ledger: Ledger, ending: Ending) -> None:
    first = analysed(ledger)
    ledger.deliveries.plan([PACS])
    second(ledger, ending)
    assert {parcel.job_id for parcel in send_all(ledger)} >= {first}
    assert ledger.withdrawals.replace("pacs") == 0
    assert job_state(ledger, first) is JobState.DELIVERED


def test_a_revision_that_ends_late_is_not_sent_after_the_newer_one(ledger: Ledger) -> None:
    slow = claim(ledger, new_job(ledger))
    receive(ledger, low_energy("L CC"))
    fast = close(ledger)
    assert fast is not None
    ledger.jobs.finish(claim(ledger, fast), [artefact("sr", content="fast")], STORED)
    ledger.deliveries.plan([PACS])
    ledger.jobs.finish(slow, RESULTS, STORED)
    ledger.deliveries.plan([PACS])
    assert {parcel.job_id for parcel in send_all(ledger)} == {fast}
    assert job_state(ledger, slow.id) is JobState.WITHDRAWN


def test_the_note_is_due_when_all_of_the_newer_set_was_accepted(ledger: Ledger) -> None:
    first = delivered(ledger)
    second(ledger)
    parcels = ledger.deliveries.due("pacs")
    for parcel in parcels:
        assert ledger.withdrawals.replace("pacs") == 0
        assert ledger.withdrawals.due("pacs") == []
        assert job_state(ledger, first) is JobState.ANALYSED  # still due at the vault
        send(ledger, parcel, SUCCESS)
    assert ledger.withdrawals.replace("pacs") == 1
    assert ledger.withdrawals.replace("pacs") == 0
    assert ledger.withdrawals.replace("vault") == 0
    (order,) = write_all(ledger)
    assert (order.job_id, order.study_instance_uid, order.reason, order.words) == (
        first, STUDY, Reason.QUALITY, "revision 2 took its place",
    )  # fmt: skip
    assert order.hashes == tuple(sha256(*parts, "") for parts in (("seg", "R-CC"), ("sr", "exam")))
    assert job_state(ledger, first) is JobState.WITHDRAWN


def test_a_note_is_written_and_sent_once_whatever_breaks_off(ledger: Ledger) -> None:
    delivered(ledger)
    second(ledger)
    send_all(ledger)
    ledger.withdrawals.replace("pacs")
    (order,) = ledger.withdrawals.due("pacs")
    assert ledger.withdrawals.due("pacs") == [order]  # the stage died before it wrote
    for _ in range(2):
        ledger.withdrawals.write(order, note_for(order), needs_commitment=False)
    assert ledger.withdrawals.due("pacs") == []
    assert len(events_of(ledger, "note_written")) == 1
    (parcel,) = send_all(ledger)
    assert parcel.sop_instance_uid == note_for(order).sop_instance_uid
    assert send_all(ledger) == []
    stored = rows(ledger, select(t.artefacts).where(t.artefacts.c.role == REJECTION))
    assert len(stored) == 1


def test_a_note_names_what_may_have_arrived_and_nothing_else(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    seg, sr = ledger.deliveries.due("pacs")
    send(ledger, seg, BUSY)
    send(ledger, sr, SILENT)
    second(ledger)
    send_all(ledger)
    ledger.withdrawals.replace("pacs")
    (order,) = ledger.withdrawals.due("pacs")
    assert order.hashes == (sha256("sr", "exam", ""),)


def test_an_object_on_its_way_when_the_node_died_is_named_too(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    seg, _ = ledger.deliveries.due("pacs")
    ledger.deliveries.begin(seg)
    second(ledger)
    send_all(ledger)
    assert delivery_states(ledger)[:2] == ["cancelled", "cancelled"]
    ledger.withdrawals.replace("pacs")
    assert ledger.withdrawals.due("pacs")[0].hashes == (sha256("seg", "R-CC", ""),)


def test_what_was_never_answered_is_named_though_its_time_is_over(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    seg, sr = ledger.deliveries.due("pacs")
    let_pass(ledger.database, DELIVER_BY_S)
    send(ledger, seg, BUSY)
    send(ledger, sr, SILENT)
    assert delivery_states(ledger) == ["refused", "refused"]
    second(ledger)
    send_all(ledger)
    ledger.withdrawals.replace("pacs")
    assert ledger.withdrawals.due("pacs")[0].hashes == (sha256("sr", "exam", ""),)


def test_each_older_set_has_a_note_of_its_own(ledger: Ledger) -> None:
    first = delivered(ledger)
    new = second(ledger)
    send_all(ledger)
    ledger.withdrawals.replace("pacs")
    write_all(ledger)
    third = ledger.revisions.rerun(STUDY, ADA)
    results = [artefact(one.role, one.key, "third") for one in RESULTS]
    ledger.jobs.finish(claim(ledger, third), results, STORED)
    ledger.deliveries.plan([PACS])
    send_all(ledger)
    assert ledger.withdrawals.replace("pacs") == 1
    (order,) = write_all(ledger)
    assert (order.job_id, order.words) == (new, "revision 3 took its place")
    assert job_state(ledger, first) is job_state(ledger, new) is JobState.WITHDRAWN
    assert job_state(ledger, third) is JobState.DELIVERED
