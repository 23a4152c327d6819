"""Two destinations that end an exam's last deliveries at the same moment."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from dicom_node.domain.delivery import outcome_of
from dicom_node.store import tables as t
from dicom_node.store.ledger import Ledger
from dicom_node.store.planning import Plan
from tests.integration.databases import empty
from tests.integration.ledger_acts import analysed, rows, send
from tests.peers import wait_until

HERE = Plan(name="here", roles=("sr",), needs_commitment=False)
THERE = Plan(name="there", roles=("sr",), needs_commitment=False)


def waiting_for_the_row(ledger: Ledger) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with ledger.database.read() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


@pytest.mark.postgres
def test_the_second_sees_what_the_first_has_done(migrated_postgres: str) -> None:
    """On SQLite there is one writer at a time."""
    ledger = Ledger(migrated_postgres)
    empty(ledger.database)
    analysed(ledger)
    ledger.deliveries.plan([HERE, THERE])
    parcels = [ledger.deliveries.due(name)[0] for name in ("here", "there")]
    threads = [
        threading.Thread(target=send, args=(ledger, parcel, outcome_of(0))) for parcel in parcels
    ]
    with ledger.database.write() as connection:
        connection.execute(select(t.jobs).with_for_update())
        for thread in threads:
            thread.start()
        wait_until(lambda: waiting_for_the_row(ledger) == len(threads), "both at the job's row")
    for thread in threads:
        thread.join()
    (job,) = rows(ledger, select(t.jobs))
    assert job.state == "delivered"
    ledger.close()
