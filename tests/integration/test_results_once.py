"""Whatever happens to workers and associations, one exam has one set of results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_node.domain.job import JobEvent
from dicom_node.errors import LeaseLost
from dicom_node.store.jobs import Artefact, Ending
from tests.integration.post import CLASSES, Post, result
from tests.scripted_pacs import abort, scripted_pacs, status

STORED = Ending(event=JobEvent.RESULTS_STORED)


def other_results(post: Post) -> list[Artefact]:
    """The same roles and keys with other content, as another worker would make them."""
    made = []
    for row in post.sheet().artefacts:
        content = result(row["sop_class_uid"], row["role"], SeriesDescription="by a zombie")
        fields = {key: row[key] for key in Artefact.__dataclass_fields__}
        sha256 = post.hospital.archive.put(content)
        made.append(Artefact(**fields | {"sha256": sha256, "size": len(content)}))
    return made


def test_a_zombie_that_comes_back_after_the_delivery_changes_nothing(tmp_path: Path) -> None:
    with scripted_pacs(abort, status(0x0000), classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port, leases_lost=1)
        post.deliverer.tick()  # stored there, and never answered
        before = post.sheet()
        for token in (post.job.token, post.job.token - 1):
            zombie = replace(post.job, token=token)
            with pytest.raises(LeaseLost):
                post.hospital.ledger.jobs.finish(zombie, other_results(post), STORED)
        assert post.sheet().artefacts == before.artefacts
        assert post.sheet().events == before.events
        post.due_now()
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"
    by_object: dict[str, set[str]] = {}
    for uid, sha256 in pacs.got:
        by_object.setdefault(uid, set()).add(sha256)
    assert [len(contents) for contents in by_object.values()] == [1, 1]
    assert len(pacs.got) == 3


def test_results_are_durable_before_the_first_byte_leaves(tmp_path: Path) -> None:
    with scripted_pacs(classes=CLASSES) as pacs:
        post = Post(tmp_path, pacs.port)
        job_id = post.exam.job_id()

        def look(_event: object) -> int:
            """What a second process would see at the moment of the first C-STORE."""
            rows = [row for row in post.sheet().artefacts if row["job_id"] == job_id]
            stored = [post.hospital.archive.read(row["sha256"]) for row in rows]
            return 0x0000 if len(stored) == 2 else 0xA900

        pacs.answers[:] = [look]
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"
