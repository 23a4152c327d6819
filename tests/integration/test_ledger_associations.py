"""The log of associations in the ledger: what is kept, what is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_node.domain.association import (
    Contexts,
    Diagnosis,
    End,
    Ending,
    Refusal,
    Visit,
)
from dicom_node.store import associations
from dicom_node.store.ledger import Ledger
from tests.headers import low_energy
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import receive

GROUP = Contexts(classes=("1.2.3", "1.2.4"), syntaxes=("1.2.5",), result=0, accepted="1.2.5")
VISIT = Visit(called_ae="FAPS", calling_ae="GE1", address="10.0.3.7", contexts=(GROUP,))
STRANGER = End(ending=Ending.REJECTED, refusal=Refusal.CALLER, complaint="not on the list")
DIAGNOSIS = Diagnosis("caller", "add it")


def test_contexts_come_back_as_they_were(ledger: Ledger) -> None:
    ledger.associations.open(VISIT)
    (row,) = ledger.associations.newest()
    assert row["contexts"] == (GROUP,)
    assert ledger.associations.newest(failed=True) == []


def test_strangers_are_told_once_with_how_often_they_came(ledger: Ledger) -> None:
    for visit in (VISIT, VISIT, replace(VISIT, calling_ae="GE2"), VISIT):
        ledger.associations.reject(visit, STRANGER, DIAGNOSIS)
    ledger.associations.reject(VISIT, STRANGER, Diagnosis("called_ae", "another title"))
    told = [(row["calling_ae"], row["times"]) for row in ledger.associations.strangers()]
    assert told == [("GE1", 3), ("GE2", 1)]
    assert ledger.associations.counts() == {"rejected": 5}


def test_old_rows_are_forgotten_unless_an_image_came_with_them(ledger: Ledger) -> None:
    kept = ledger.associations.open(VISIT)
    receive(ledger, low_energy(), association_id=kept)
    ledger.associations.close(kept, End(ending=Ending.RELEASED, objects=1), Diagnosis())
    ledger.associations.reject(VISIT, STRANGER, DIAGNOSIS)
    still_open = ledger.associations.open(VISIT)
    assert ledger.associations.prune() == 0
    let_pass(ledger.database, associations.KEPT_S + 1)
    ledger.associations.reject(replace(VISIT, calling_ae="NEW"), STRANGER, DIAGNOSIS)
    assert ledger.associations.prune() == 1
    ids = [row["id"] for row in ledger.associations.newest()]
    assert ids[1:] == [still_open.id, kept.id]


def test_a_storm_of_callers_does_not_fill_the_disk(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(associations, "KEPT_ROWS", 3)
    for _ in range(10):
        ledger.associations.reject(VISIT, STRANGER, DIAGNOSIS)
    ledger.associations.prune()
    assert len(ledger.associations.newest()) == 4
