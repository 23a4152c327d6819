"""Results that a person takes back, everywhere at once."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dicom_node.domain.job import (
    JobState,
)
from dicom_node.domain.rejection import (
    REJECTION,
    Reason,
)
from dicom_node.errors import (
    LedgerError,
)
from dicom_node.store import tables as t
from dicom_node.store.ledger import Ledger
from tests.headers import (
    STUDY,
)
from tests.integration.databases import (
    let_pass,
)
from tests.integration.ledger_acts import (
    FAILED,
    PACS,
    analysed,
    artefact,
    claim,
    job_row,
    job_state,
    new_job,
    rows,
    sha256,
)
from tests.integration.withdrawal_acts import (
    ADA,
    BUSY,
    REFUSED,
    SUCCESS,
    delivered,
    events_of,
    note_for,
    second,
    send_all,
    write_all,
)


def test_a_person_withdraws_everything_everywhere(ledger: Ledger) -> None:
    first = delivered(ledger)
    new = second(ledger)
    send_all(ledger, BUSY)
    done = ledger.withdrawals.withdraw(STUDY, Reason.SAFETY, "a clip, no lesion", ADA)
    assert (done.cancelled, done.noted) == (4, ("pacs",))
    reason = "withdrawn: for patient safety reasons: a clip, no lesion"
    assert job_row(ledger, new).reason == reason
    assert job_state(ledger, first) is job_state(ledger, new) is JobState.WITHDRAWN
    assert {event.actor for event in events_of(ledger, "withdrawn")} == {ADA}
    let_pass(ledger.database, 1000)
    assert send_all(ledger) == send_all(ledger, destination="vault") == []
    (order,) = write_all(ledger)
    assert (order.job_id, order.reason) == (first, Reason.SAFETY)
    assert write_all(ledger, "vault") == []
    assert len(send_all(ledger)) == 1
    with pytest.raises(LedgerError, match="withdrawn already"):
        ledger.withdrawals.withdraw(STUDY, Reason.SAFETY, "", ADA)


def test_what_is_on_its_way_ends_before_the_note_is_written(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    seg, sr = ledger.deliveries.due("pacs")
    ledger.deliveries.begin(seg)
    done = ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", ADA)
    assert (done.cancelled, done.noted) == (1, ("pacs",))
    assert ledger.withdrawals.due("pacs") == []
    ledger.deliveries.end(seg, SUCCESS)
    assert not ledger.deliveries.begin(sr)
    (order,) = ledger.withdrawals.due("pacs")
    assert order.hashes == (sha256("seg", "R-CC", ""),)


def test_withdrawn_before_anything_was_sent_only_cancels(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([PACS])
    done = ledger.withdrawals.withdraw(STUDY, Reason.WORKLIST, "", ADA)
    assert (done.cancelled, done.noted) == (2, ())
    assert ledger.withdrawals.due("pacs") == ledger.deliveries.due("pacs") == []
    assert job_state(ledger, job_id) is JobState.WITHDRAWN


def test_withdrawn_before_it_was_planned_is_never_planned(ledger: Ledger) -> None:
    analysed(ledger)
    assert ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", ADA).cancelled == 0
    assert ledger.deliveries.plan([PACS]) == 0


def test_new_results_after_a_withdrawal_are_sent(ledger: Ledger) -> None:
    delivered(ledger)
    ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", ADA)
    new = second(ledger)
    assert {parcel.job_id for parcel in send_all(ledger)} == {new}
    assert job_state(ledger, new) is not JobState.WITHDRAWN


def test_only_the_note_on_withdrawn_results_can_be_sent_again(ledger: Ledger) -> None:
    first = delivered(ledger)
    ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", ADA)
    with pytest.raises(LedgerError, match="were withdrawn"):
        ledger.deliveries.resend(first, None, ADA)
    (order,) = write_all(ledger)
    for _ in range(3):
        let_pass(ledger.database, 100)
        send_all(ledger, REFUSED)
    assert ledger.deliveries.resend(first, "pacs", ADA) == 1
    (parcel,) = send_all(ledger)
    assert parcel.sop_instance_uid == note_for(order).sop_instance_uid


def test_a_refused_note_on_older_results_goes_out_again_with_the_newer_ones(ledger: Ledger) -> None:
    delivered(ledger)
    new = second(ledger)
    send_all(ledger)
    ledger.withdrawals.replace("pacs")
    write_all(ledger)
    for _ in range(3):
        let_pass(ledger.database, 100)
        send_all(ledger, REFUSED)
    assert ledger.deliveries.resend(new, "pacs", ADA) == 3
    assert REJECTION in {
        row.role
        for row in rows(
            ledger,
            select(t.artefacts.c.role)
            .join(t.deliveries, t.deliveries.c.artefact_id == t.artefacts.c.id)
            .where(t.deliveries.c.state == "waiting"),
        )
    }


def test_what_cannot_be_withdrawn_is_said_in_words(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=r"1\.2\.3: never received"):
        ledger.withdrawals.withdraw("1.2.3", Reason.QUALITY, "", ADA)
    job_id = new_job(ledger)
    with pytest.raises(LedgerError, match=r"is being analysed \(queued\); wait for it"):
        ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", ADA)
    job = claim(ledger, job_id)
    with pytest.raises(LedgerError, match=r"is being analysed \(analysing\)"):
        ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", ADA)
    ledger.jobs.finish(job, [artefact("preview")], FAILED)
    with pytest.raises(LedgerError, match="has no results"):
        ledger.withdrawals.withdraw(STUDY, Reason.QUALITY, "", ADA)
    assert rows(ledger, select(t.withdrawals)) == []
