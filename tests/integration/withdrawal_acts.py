"""Revisions, their delivery, the notes on older ones, as single acts for tests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from dicom_node.domain.delivery import (
    Outcome,
    outcome_of,
)
from dicom_node.domain.rejection import (
    REJECTION,
)
from dicom_node.store import tables as t
from dicom_node.store.deliveries import (
    Parcel,
)
from dicom_node.store.jobs import (
    Artefact,
    Ending,
)
from dicom_node.store.ledger import Ledger
from dicom_node.store.withdrawals import (
    Order,
)
from tests.headers import (
    STUDY,
    uid,
)
from tests.integration.ledger_acts import (
    PACS,
    RESULTS,
    STORED,
    VAULT,
    analysed,
    artefact,
    claim,
    rows,
    send,
    sha256,
)

SUCCESS, BUSY, SILENT = outcome_of(0x0000), outcome_of(0xA700), outcome_of(None)
REFUSED = outcome_of(0xA900)
ADA = "cli ada"


def send_all(ledger: Ledger, outcome: Outcome = SUCCESS, destination: str = "pacs") -> list[Parcel]:
    """Everything that is due at a destination is sent, job after job."""
    sent = []
    while due := ledger.deliveries.due(destination):
        for parcel in due:
            send(ledger, parcel, outcome)
        sent += due
    return sent


def second(ledger: Ledger, ending: Ending = STORED) -> str:
    """The next revision, analysed and planned, with objects of its own."""
    job_id = ledger.revisions.rerun(STUDY, ADA)
    results = [artefact(one.role, one.key, "second") for one in RESULTS]
    ledger.jobs.finish(claim(ledger, job_id), results, ending)
    ledger.deliveries.plan([PACS, VAULT])
    return job_id


def delivered(ledger: Ledger) -> str:
    """A first revision that the PACS has accepted."""
    job_id = analysed(ledger)
    ledger.deliveries.plan([PACS, VAULT])
    send_all(ledger)
    return job_id


def note_for(order: Order) -> Artefact:
    """What the stage stores."""
    return Artefact(
        role=REJECTION, key=order.key, media_type="application/dicom", sop_class_uid="1.2.840.59",
        sop_instance_uid=uid("note", order.job_id, order.destination),
        sha256=sha256("note", order.job_id, order.destination), size=10,
    )  # fmt: skip


def write_all(ledger: Ledger, destination: str = "pacs") -> list[Order]:
    """Every note that is due is written."""
    orders = ledger.withdrawals.due(destination)
    for order in orders:
        ledger.withdrawals.write(order, note_for(order), needs_commitment=False)
    return orders


def events_of(ledger: Ledger, event: str) -> list[Any]:
    """Every event of one name."""
    return rows(ledger, select(t.events).where(t.events.c.event == event))
