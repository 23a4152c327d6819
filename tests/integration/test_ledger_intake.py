"""Images recorded as part of their study, whatever else came before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from dicom_node.domain.association import Diagnosis, End, Ending, Visit
from dicom_node.domain.instance import OWN_RESULT, ImageKind, InstanceHeader
from dicom_node.store import tables as t
from dicom_node.store.intake import Intake
from dicom_node.store.ledger import Ledger
from tests.headers import STUDY, cem_view, header, low_energy, recombined, uid
from tests.integration.ledger_acts import (
    IGNORE,
    READY,
    claimable,
    close,
    job_row,
    new_job,
    open_study,
    receive,
    receive_all,
    rows,
    sha256,
    study_row,
)

MODALITY = Visit(called_ae="FAPS", calling_ae="MODALITY", address="10.0.0.7")


def _instances(ledger: Ledger) -> list[tuple[str, str]]:
    query = select(t.instances.c.state, t.instances.c.reason).order_by(t.instances.c.id)
    return [(row.state, row.reason) for row in rows(ledger, query)]


def test_the_first_image_opens_its_study(ledger: Ledger) -> None:
    image = low_energy()
    assert receive(ledger, image) is Intake.NEW
    study = open_study(ledger)
    assert study.study_instance_uid == STUDY
    assert list(study.arrival.headers) == [image]
    assert not study.arrival.reopened
    row = study_row(ledger)
    assert (row.patient_id, row.accession_number, row.calling_ae) == ("P-1", "A-1", "MODALITY")
    assert row.opened_at == pytest.approx(row.last_received_at, abs=0.01)
    assert row.last_received_at == study.last_received_at


def test_the_same_bytes_again_change_nothing(ledger: Ledger) -> None:
    image = low_energy()
    receive(ledger, image)
    before = study_row(ledger)
    assert receive(ledger, image) is Intake.DUPLICATE
    assert study_row(ledger) == before
    assert len(_instances(ledger)) == 1


def test_the_same_bytes_again_do_not_reopen_a_closed_study(ledger: Ledger) -> None:
    images = receive_all(ledger)
    close(ledger)
    assert receive(ledger, images[0]) is Intake.DUPLICATE
    assert ledger.studies.open_studies()[0] == []


def test_other_bytes_under_a_known_uid_are_kept_beside_and_hold_the_study(ledger: Ledger) -> None:
    image = low_energy()
    receive(ledger, image)
    assert receive(ledger, image, content="other") is Intake.CONFLICT
    assert [state for state, _ in _instances(ledger)] == ["kept", "conflict"]
    assert list(open_study(ledger).arrival.headers) == [image]
    job_id = close(ledger)
    assert job_id is not None
    job = job_row(ledger, job_id)
    assert (job.state, job.reason_code) == ("held", "conflicting_instance")
    assert "other content" in job.reason
    assert receive(ledger, image, content="other") is Intake.DUPLICATE


def test_a_uid_that_belongs_to_another_study_is_seen_as_the_reason_there(ledger: Ledger) -> None:
    image = low_energy()
    new_job(ledger, [image])
    other = replace(image, study_instance_uid=uid("other study"))
    assert receive(ledger, other, content="other") is Intake.CONFLICT
    assert close(ledger, IGNORE) is None
    assert "other content" in study_row(ledger, uid("other study")).reason


def test_another_patient_in_the_study_holds_it(ledger: Ledger) -> None:
    first, second = cem_view()
    receive(ledger, first)
    assert receive(ledger, replace(second, patient_id="P-2")) is Intake.MISMATCH
    assert study_row(ledger).patient_id == "P-1"
    job_id = close(ledger)
    assert job_id is not None
    assert job_row(ledger, job_id).reason_code == "patient_mismatch"


@pytest.mark.parametrize(
    ("odd", "word"),
    [
        ({"own_result": True}, OWN_RESULT),
        ({"modality": "SR"}, "SR"),
        ({"modality": ""}, "missing"),
    ],
)
def test_what_takes_no_part_is_kept_and_ignored(
    ledger: Ledger, odd: dict[str, Any], word: str
) -> None:
    receive(ledger, low_energy())
    before = study_row(ledger)
    other = header(ImageKind.NOT_MAMMOGRAPHY, **odd)
    assert receive(ledger, other) is Intake.IGNORED
    assert study_row(ledger) == before
    state, reason = _instances(ledger)[-1]
    assert state == "ignored"
    assert word in reason


def test_a_late_image_reopens_the_study_as_the_next_revision(ledger: Ledger) -> None:
    first = new_job(ledger)
    late = recombined("L CC")
    assert receive(ledger, late) is Intake.NEW
    row = study_row(ledger)
    assert (row.state, row.revision) == ("open", 2)
    assert row.opened_at == row.last_received_at
    assert open_study(ledger).arrival.reopened
    second = close(ledger)
    assert second is not None
    assert second != first
    assert job_row(ledger, second).revision == 2
    assert job_row(ledger, second).input_hash != job_row(ledger, first).input_hash
    assert job_row(ledger, first).state == "queued"


def test_a_late_image_that_no_analysis_may_use_does_not_reopen_the_study(ledger: Ledger) -> None:
    new_job(ledger)
    late = header(ImageKind.HIGH_ENERGY)
    assert receive(ledger, late) is Intake.NEW
    assert (study_row(ledger).state, study_row(ledger).revision) == ("closed", 1)
    assert _instances(ledger)[-1] == ("kept", late.exclusion_text)


def test_every_instance_leaves_an_event_that_says_what_it_is(ledger: Ledger) -> None:
    image = low_energy(kind_evidence="Image Type LOW_ENERGY")
    receive(ledger, image)
    (event,) = rows(ledger, select(t.events).where(t.events.c.subject == "instance"))
    assert (event.event, event.to_state, event.actor) == ("received_new", "kept", "MODALITY")
    assert (event.subject_id, event.reason) == (
        image.sop_instance_uid,
        "low_energy, by Image Type LOW_ENERGY",
    )


def test_two_receivers_of_one_new_study_lose_nothing(ledger: Ledger) -> None:
    images = [low_energy(study_instance_uid=uid("busy", n % 3)) for n in range(24)]
    again = [*images, *images[::2]]
    barrier = threading.Barrier(2)

    def work(half: list[InstanceHeader]) -> list[Intake]:
        barrier.wait()
        return [receive(ledger, image) for image in half]

    with ThreadPoolExecutor(2) as pool:
        # The second half repeats images of the first, at the same moment.
        intakes = [one for done in pool.map(work, (again[:18], again[18:])) for one in done]
    assert sorted(one.value for one in intakes) == ["duplicate"] * 12 + ["new"] * 24
    studies, _ = ledger.studies.open_studies()
    assert len(studies) == 3
    kept = {one.sop_instance_uid for study in studies for one in study.arrival.headers}
    assert kept == {image.sop_instance_uid for image in images}
    assert rows(ledger, select(func.count()).select_from(t.instances))[0][0] == 24


def test_a_study_knows_whether_its_sender_is_still_connected(ledger: Ledger) -> None:
    association = ledger.associations.open(MODALITY)
    other = ledger.associations.open(replace(MODALITY, calling_ae="OTHER"))
    receive(ledger, low_energy(), association_id=association)
    assert open_study(ledger).arrival.association_open
    end = End(ending=Ending.RELEASED, objects=1, size=1000)
    ledger.associations.close(association, end, Diagnosis())
    assert not open_study(ledger).arrival.association_open
    (row,) = rows(ledger, select(t.associations).where(t.associations.c.id == association.id))
    assert (row.ending, row.objects, row.bytes) == ("released", 1, 1000)
    assert other != association


def test_a_restart_ends_the_associations_of_the_time_before(ledger: Ledger) -> None:
    association = ledger.associations.open(MODALITY)
    receive(ledger, low_energy(), association_id=association)
    ledger.associations.close_lost()
    assert not open_study(ledger).arrival.association_open


def test_closing_makes_one_job_with_its_inputs_fixed(ledger: Ledger) -> None:
    images = receive_all(ledger)
    receive(ledger, low_energy(own_result=True))
    study = open_study(ledger)
    job_id = ledger.studies.close(study, READY)
    assert job_id is not None
    assert ledger.studies.close(study, READY) is None
    late = low_energy("L CC")
    receive(ledger, late)
    job = ledger.jobs.claim(job_id, "worker", 60)
    assert job is not None
    inputs = ledger.jobs.inputs(job)
    assert {one.sop_instance_uid for one, _ in inputs} == {one.sop_instance_uid for one in images}
    assert all(digest == sha256(one.sop_instance_uid, "") for one, digest in inputs)
    assert {one for one, _ in inputs} == set(images)


def test_the_order_of_arrival_does_not_change_the_input_hash(
    new_sqlite_ledger: Callable[[], Ledger],
) -> None:
    images = cem_view("R CC") + cem_view("L CC")
    jobs = []
    for order in (images, images[::-1], images[:3]):
        ledger = new_sqlite_ledger()
        jobs.append(job_row(ledger, new_job(ledger, order)))
        ledger.close()
    assert jobs[0].input_hash == jobs[1].input_hash != jobs[2].input_hash
    assert jobs[0].id == jobs[1].id


def test_an_image_between_look_and_close_is_judged_anew(ledger: Ledger) -> None:
    receive(ledger, low_energy())
    study = open_study(ledger)
    receive(ledger, recombined())
    assert ledger.studies.close(study, READY) is None
    assert study_row(ledger).state == "open"
    assert len(open_study(ledger).arrival.headers) == 2


def test_a_study_without_contrast_is_closed_without_a_job(ledger: Ledger) -> None:
    receive(ledger, header(ImageKind.FFDM))
    assert close(ledger, IGNORE) is None
    assert (study_row(ledger).state, study_row(ledger).reason) == ("closed", IGNORE.reason)
    assert claimable(ledger) == []


def test_a_look_at_the_ledger_sees_one_moment(ledger: Ledger) -> None:
    query = select(func.count()).select_from(t.instances)
    receive(ledger, low_energy())
    with ledger.database.read() as connection:
        assert connection.execute(query).scalar_one() == 1
        receive(ledger, recombined())
        assert connection.execute(query).scalar_one() == 1
