"""Results of this node that a PACS sends back: recorded, and nothing more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from dicom_node.domain.association import Visit
from dicom_node.domain.instance import OWN_RESULT, ImageKind, InstanceHeader
from dicom_node.domain.study import CompletenessRule, Verdict, judge
from dicom_node.store import tables as t
from dicom_node.store.intake import Intake
from dicom_node.store.ledger import Ledger
from tests.headers import cem_exam, header, low_energy, recombined
from tests.integration.ledger_acts import (
    RESULTS,
    analysed,
    close,
    job_row,
    open_study,
    receive,
    receive_all,
    rows,
    study_row,
)


def own(**values: Any) -> InstanceHeader:
    """A report of ours, with categories that nobody may take for a radiologist's."""
    given = {"modality": "SR", "own_result": True, "assessments": ("R 5",), **values}
    return header(ImageKind.NOT_MAMMOGRAPHY, **given)


def coerced() -> InstanceHeader:
    """The report that ``analysed`` stored, as a PACS forwards it under its own Manufacturer."""
    report = next(one for one in RESULTS if one.role == "sr")
    return own(own_result=False, sop_instance_uid=report.sop_instance_uid)


@pytest.mark.parametrize("report", [own(), coerced()], ids=["by equipment", "by its UID"])
def test_our_own_results_change_nothing_in_their_study(
    ledger: Ledger, report: InstanceHeader
) -> None:
    analysed(ledger)
    before = study_row(ledger)
    assert receive(ledger, report) is Intake.IGNORED
    assert receive(ledger, report) is Intake.DUPLICATE
    assert study_row(ledger) == before
    assert rows(ledger, select(t.assessments)) == []
    (row,) = rows(ledger, select(t.instances).where(t.instances.c.state == "ignored"))
    assert row.reason == OWN_RESULT


def test_a_result_whose_bytes_a_pacs_changed_is_no_conflict(ledger: Ledger) -> None:
    analysed(ledger)
    assert receive(ledger, coerced()) is Intake.IGNORED
    assert receive(ledger, coerced(), content="other") is Intake.IGNORED
    assert study_row(ledger).hold_code is None


def test_a_result_of_ours_in_an_unknown_study_opens_none(ledger: Ledger) -> None:
    assert receive(ledger, own()) is Intake.IGNORED
    assert ledger.studies.open_studies()[0] == []
    assert (study_row(ledger).state, study_row(ledger).reason) == ("closed", OWN_RESULT)


def test_a_study_that_began_with_a_result_of_ours_is_analysed_as_any_other(ledger: Ledger) -> None:
    receive(ledger, own())
    receive_all(ledger, cem_exam())
    study = open_study(ledger)
    verdict = judge(study.arrival, CompletenessRule(), study.last_received_at)
    assert verdict.verdict is Verdict.READY
    job_id = close(ledger)
    assert job_id is not None
    assert job_row(ledger, job_id).revision == study_row(ledger).revision == 1


def test_results_that_come_back_for_hours_do_not_delay_an_exam(ledger: Ledger) -> None:
    association = ledger.associations.open(
        Visit(called_ae="FAPS", calling_ae="PACS", address="10.0.0.9")
    )
    for image in (low_energy(), recombined()):
        receive(ledger, image)
    before = open_study(ledger)
    receive(ledger, own(), association_id=association)
    assert open_study(ledger) == before
    assert not open_study(ledger).arrival.association_open
    # The same association with an image on it is a sender whose end must be waited for.
    receive(ledger, low_energy("L CC"), association_id=association)
    assert open_study(ledger).arrival.association_open


def test_an_image_of_another_product_is_not_taken_for_ours(ledger: Ledger) -> None:
    analysed(ledger)
    assert receive(ledger, replace(low_energy("L CC"), device="FAPS Node")) is Intake.NEW
    assert study_row(ledger).state == "open"
