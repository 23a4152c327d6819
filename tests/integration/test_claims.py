"""Many processes claim at the same time, and each job has one of them."""

from __future__ import annotations

import pytest

from dicom_node.store.ledger import Ledger
from tests.integration.claimers import assert_each_was_claimed_once, fill, race


def test_each_of_a_few_hundred_jobs_is_claimed_once(ledger: Ledger) -> None:
    fill(ledger, 200)
    run = race(_url(ledger), claimers=4)
    assert_each_was_claimed_once(ledger, run, 200)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_of_many_jobs_is_claimed_once(ledger: Ledger) -> None:
    claimers, jobs = (4, 2_000) if _url(ledger).startswith("sqlite") else (8, 20_000)
    fill(ledger, jobs)
    run = race(_url(ledger), claimers)
    print(run.figures(ledger.database.engine.dialect.name))  # noqa: T201 - for docs/reliability.md
    assert_each_was_claimed_once(ledger, run, jobs)


def _url(ledger: Ledger) -> str:
    return ledger.database.engine.url.render_as_string(hide_password=False)
