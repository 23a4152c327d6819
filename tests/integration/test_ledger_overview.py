"""The ledger as people look at it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from dicom_node.domain.delivery import outcome_of
from dicom_node.domain.exam import FULL_EXAM
from dicom_node.domain.instance import ImageKind
from dicom_node.errors import LedgerError
from dicom_node.store.ledger import Ledger
from dicom_node.store.owners import is_dead, owner_name
from tests.headers import STUDY, cem_view, header, low_energy, recombined
from tests.integration.databases import let_pass
from tests.integration.ledger_acts import (
    IGNORE,
    PACS,
    analysed,
    claim,
    close,
    new_job,
    receive,
    receive_all,
    sha256,
)


def _state(ledger: Ledger) -> tuple[str, str]:
    (line,) = ledger.overview.studies()
    return line.state, line.reason


def test_a_study_that_waits_says_for_what(ledger: Ledger) -> None:
    receive_all(ledger, [*cem_view("R CC"), recombined("L CC")])
    assert _state(ledger) == ("open", "waiting for L CC: low-energy image")


def test_a_study_shows_the_state_of_its_newest_job(ledger: Ledger) -> None:
    job_id = new_job(ledger)
    assert _state(ledger)[0] == "queued"
    claim(ledger, job_id)
    assert _state(ledger)[0] == "analysing"


def test_a_reopened_study_waits_again_although_it_had_a_job(ledger: Ledger) -> None:
    new_job(ledger, cem_view("R CC"))
    receive(ledger, recombined("L CC"))
    (line,) = ledger.overview.studies()
    assert (line.state, line.revision, line.images) == ("open", 2, 3)


def test_a_study_of_no_concern_is_ignored_with_its_reason(ledger: Ledger) -> None:
    receive(ledger, header(ImageKind.FFDM))
    receive(ledger, low_energy(own_result=True))
    close(ledger, IGNORE)
    assert _state(ledger) == ("ignored", IGNORE.reason)
    assert ledger.overview.studies()[0].images == 1


def test_the_newest_study_comes_first(ledger: Ledger) -> None:
    receive(ledger, low_energy(study_instance_uid="1.2.1"))
    let_pass(ledger.database, 5)
    receive(ledger, low_energy(study_instance_uid="1.2.2"))
    assert [line.study_instance_uid for line in ledger.overview.studies()] == ["1.2.2", "1.2.1"]
    assert len(ledger.overview.studies(limit=1)) == 1


@pytest.mark.parametrize("text", [STUDY, "A-1", "P-1"])
def test_a_study_is_found_by_uid_accession_number_and_patient_id(ledger: Ledger, text: str) -> None:
    receive(ledger, low_energy())
    receive(ledger, low_energy(study_instance_uid="1.2.1", patient_id="X", accession_number="Y"))
    assert ledger.overview.find(text) == [STUDY]
    assert ledger.overview.find("' OR 1=1 --") == []


def test_the_sheet_holds_everything_about_a_study(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    ledger.deliveries.plan([PACS])
    sheet = ledger.overview.sheet(STUDY, FULL_EXAM)
    assert sheet is not None
    assert [cell.name for cell in sheet.cells] == list(FULL_EXAM)
    assert [cell.paired for cell in sheet.cells] == [True, False, True, False]
    assert [job["id"] for job in sheet.jobs] == [job_id]
    assert [one["role"] for one in sheet.artefacts] == ["seg", "sr", "preview"]
    assert [(one["role"], one["state"]) for one in sheet.deliveries] == [
        ("seg", "waiting"),
        ("sr", "waiting"),
    ]
    assert sheet.events[0]["event"] == "received_new"
    assert sheet.line.state == "analysed"


def test_a_conflicting_image_is_on_the_sheet_but_not_in_the_grid(ledger: Ledger) -> None:
    image = low_energy()
    receive(ledger, image)
    receive(ledger, replace(image, view="MLO"), content="other")
    sheet = ledger.overview.sheet(STUDY, ())
    assert sheet is not None
    assert [row["state"] for row in sheet.instances] == ["kept", "conflict"]
    assert sheet.instances[0]["header"] == image
    assert [cell.name for cell in sheet.cells] == ["R CC"]


def test_a_study_that_never_came_has_no_sheet(ledger: Ledger) -> None:
    assert ledger.overview.sheet("1.2.3", FULL_EXAM) is None


def test_an_artefact_is_found_only_under_its_own_study_and_job(ledger: Ledger) -> None:
    job_id = analysed(ledger)
    expected = sha256("preview", "R-CC", "")
    assert ledger.overview.artefact_hash(STUDY, job_id, "preview", "R-CC") == expected
    assert ledger.overview.artefact_hash("1.2.3", job_id, "preview", "R-CC") is None
    assert ledger.overview.artefact_hash(STUDY, "another job", "preview", "R-CC") is None
    assert ledger.overview.artefact_hash(STUDY, job_id, "preview", "L-CC") is None


def test_the_counts_are_of_every_table_with_states(ledger: Ledger) -> None:
    analysed(ledger)
    ledger.deliveries.plan([PACS])
    (first, _) = ledger.deliveries.due("pacs")
    ledger.deliveries.begin(first)
    ledger.deliveries.end(first, outcome_of(0))
    assert ledger.overview.counts() == {
        "instances": {"kept": 4},
        "studies": {"closed": 1},
        "jobs": {"analysed": 1},
        "deliveries": {"accepted": 1, "waiting": 1},
        "files": {},
        "promises": {},
        "procedures": {},
        "pulls": {},
    }


def test_a_database_that_cannot_be_opened_says_so_without_its_statement(tmp_path: object) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/no such folder/ledger.db")
    with pytest.raises(LedgerError, match="database refused: unable to open") as refused:
        receive(ledger, low_energy(patient_id="CANARY"))
    assert "CANARY" not in str(refused.value)
    assert "SELECT" not in str(refused.value)


def test_a_process_of_this_host_is_known_to_live_or_to_be_dead() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        owner = owner_name(process.pid)
        assert not is_dead(owner)
        assert process.stdin is not None
        process.stdin.write(b"\n")
    assert is_dead(owner)
    assert not is_dead(owner_name(os.getpid()))


def test_a_process_is_not_taken_for_another_with_its_number_or_of_an_earlier_boot() -> None:
    host, boot, pid, started = owner_name(os.getpid()).split("/")
    assert is_dead(f"{host}/{boot}/{pid}/{int(started) - 1}")
    assert is_dead(f"{host}/an-earlier-boot/{pid}/{started}")
    assert not is_dead(f"another-host/{boot}/{pid}/1")
    assert not is_dead("somebody")
