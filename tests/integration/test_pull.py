"""Images fetched from real archives, by C-GET and by C-MOVE."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    JPEGLSLossless,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StudyRootQueryRetrieveInformationModelGet,
)
from sqlalchemy import update

from dicom_node.pull import Puller
from dicom_node.settings import load_settings
from dicom_node.store import service_tables as s
from dicom_node.store import tables as t
from tests.commands import run_command
from tests.compressed import recode
from tests.integration.dcmqrscp import dcmqrscp
from tests.integration.door import Door, MakeDoor
from tests.modality import Modality, picture
from tests.peers import free_port, orthanc, storescu
from tests.scripted_pacs import scripted_pacs

STUDY = str(picture().StudyInstanceUID)
Archive = Callable[[Path, int], AbstractContextManager[tuple[str, int]]]  # title and port


@contextmanager
def an_orthanc(folder: Path, node_port: int) -> Iterator[tuple[str, int]]:
    folder.mkdir()
    with orthanc(folder, {"faps": ("FAPS", node_port)}) as peer:
        yield peer.ae, peer.port


@contextmanager
def dcmtk(folder: Path, node_port: int) -> Iterator[tuple[str, int]]:
    with dcmqrscp(folder, node_port) as port:
        yield "ARCHIVE", port


@contextmanager
def dcmtk_without_get(folder: Path, node_port: int) -> Iterator[tuple[str, int]]:
    with dcmqrscp(folder, node_port, "--disable-get") as port:
        yield "ARCHIVE", port


def files(folder: Path, *images: Dataset) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for number, image in enumerate(images):
        paths.append(folder / f"{number}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return paths


def exam() -> list[Dataset]:
    return [picture(side, "CC", recombined=recombined) for side in "RL" for recombined in (0, 1)]


def puller(door: Door, source: str, **settings: Any) -> Puller:
    """What the running node would have, with a PACS in its settings."""
    changes = {"pull": {"source": source, "pause_s": 0.01, **settings}}
    listener = {"port": door.settings.port}
    whole = load_settings(overrides={"listener": listener, **changes})
    return Puller(whole, door.hospital.ledger, door.receiver.begin)


def here(door: Door) -> set[str]:
    with door.hospital.ledger.database.read() as connection:
        return {row.sop_instance_uid for row in connection.execute(t.instances.select())}


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(an_orthanc, marks=pytest.mark.orthanc),
        pytest.param(dcmtk, marks=pytest.mark.dcmtk),
        pytest.param(dcmtk_without_get, marks=pytest.mark.dcmtk),
    ],
    ids=["Orthanc by C-GET", "DCMTK by C-GET", "DCMTK by C-MOVE"],
)
def test_what_is_missing_of_a_study_is_fetched(
    make_door: MakeDoor, tmp_path: Path, archive: Archive
) -> None:
    door, images = make_door(), exam()
    with archive(tmp_path / "pacs", door.settings.port) as (title, port):
        storescu(port, files(tmp_path / "files", *images), ae=title)
        Modality(door.settings.port).store(images[0])
        source = f"{title}@127.0.0.1:{port}"
        pulls = door.hospital.ledger.pulls
        order = pulls.order(STUDY, source, "test")
        puller(door, source).tick()
    row = pulls.row(order)
    assert (row["state"], row["images"]) == ("pulled", 3), row["reason"]
    assert here(door) == {str(image.SOPInstanceUID) for image in images}
    archive_of = door.hospital.archive
    kept = door.hospital.ledger.promises.kept([str(images[2].SOPInstanceUID)])[0]
    assert archive_of.path(kept.sha256).exists()


@pytest.mark.orthanc
@pytest.mark.dcmtk
def test_a_compressed_image_comes_as_it_is(make_door: MakeDoor, tmp_path: Path) -> None:
    door, image = make_door(), picture()
    plain = files(tmp_path / "files", image)[0]
    recode(plain, plain.with_name("coded.dcm"), JPEGLSLossless)
    with an_orthanc(tmp_path / "pacs", door.settings.port) as (title, port):
        storescu(port, [plain.with_name("coded.dcm")], "-xt", ae=title)
        source = f"{title}@127.0.0.1:{port}"
        door.hospital.ledger.pulls.order(STUDY, source, "test")
        puller(door, source).tick()
    with door.hospital.ledger.database.read() as connection:
        row = connection.execute(t.instances.select()).one()
    assert row.header["transfer_syntax_uid"] == JPEGLSLossless


@pytest.mark.dcmtk
def test_an_image_of_a_pulled_study_belongs_to_the_archive_that_sent_it(
    make_door: MakeDoor, tmp_path: Path
) -> None:
    door = make_door()
    with dcmtk(tmp_path / "pacs", door.settings.port) as (title, port):
        storescu(port, files(tmp_path / "files", picture()), ae=title)
        source = f"{title}@127.0.0.1:{port}"
        door.hospital.ledger.pulls.order(STUDY, source, "test")
        puller(door, source).tick()
    with door.hospital.ledger.database.read() as connection:
        assert connection.execute(t.studies.select()).one().calling_ae == "ARCHIVE"


@pytest.mark.dcmtk
def test_an_open_exam_that_lacks_images_has_them_fetched_once(
    make_door: MakeDoor, tmp_path: Path
) -> None:
    door, images = make_door(), exam()
    with dcmtk(tmp_path / "pacs", door.settings.port) as (title, port):
        storescu(port, files(tmp_path / "files", *images), ae=title)
        source = f"{title}@127.0.0.1:{port}"
        by_itself = puller(door, source, automatic=True, after_s=1e-6)
        Modality(door.settings.port).store(images[0])
        by_itself.tick()
        assert len(here(door)) == 4
        by_itself.tick()
        by_itself.tick()
    with door.hospital.ledger.database.read() as connection:
        orders = connection.execute(s.pulls.select()).all()
    # One for the first image; one more for what came, which found that nothing is missing there.
    assert [row.state for row in orders] == ["pulled", "pulled"]
    assert [row.images for row in orders] == [3, 0]


def test_a_pacs_that_is_down_is_tried_again_until_it_is_given_up(make_door: MakeDoor) -> None:
    door, source = make_door(), f"PACS@127.0.0.1:{free_port()}"
    pulls = door.hospital.ledger.pulls
    order = pulls.order(STUDY, source, "test")
    assert pulls.order(STUDY, source, "test") == order, "one that waits is not doubled"
    puller(door, source).tick()
    row = pulls.row(order)
    assert (row["state"], row["attempts"]) == ("ordered", 1)
    assert "cannot connect" in row["reason"]
    assert pulls.due() is None, "the pause is kept"
    with door.hospital.ledger.database.write() as connection:
        connection.execute(update(s.pulls).values(next_at=0, ordered_at=0))
    puller(door, source).tick()
    assert pulls.row(order)["state"] == "not_pulled"


def test_a_pacs_that_answers_no_query_is_said(make_door: MakeDoor) -> None:
    door = make_door()
    with scripted_pacs(classes=[StudyRootQueryRetrieveInformationModelGet], services=False) as pacs:
        source = f"{pacs.ae_title}@127.0.0.1:{pacs.port}"
        order = door.hospital.ledger.pulls.order(STUDY, source, "test")
        puller(door, source).tick()
    assert door.hospital.ledger.pulls.row(order)["reason"].endswith("no Study Root C-FIND")


@pytest.mark.dcmtk
def test_what_the_archive_does_not_have_is_said(make_door: MakeDoor, tmp_path: Path) -> None:
    door = make_door()
    report = picture()
    report.SOPClassUID = ComprehensiveSRStorage
    report.Modality = "SR"
    with dcmtk(tmp_path / "pacs", door.settings.port) as (title, port):
        storescu(port, files(tmp_path / "files", report), ae=title)
        source = f"{title}@127.0.0.1:{port}"
        order = door.hospital.ledger.pulls.order(STUDY, source, "test")
        puller(door, source).tick()
    row = door.hospital.ledger.pulls.row(order)
    assert row["reason"] == "the PACS has no mammogram of this study"
    assert here(door) == set()


@pytest.mark.dcmtk
def test_no_more_images_are_fetched_than_allowed(make_door: MakeDoor, tmp_path: Path) -> None:
    door = make_door()
    with dcmtk(tmp_path / "pacs", door.settings.port) as (title, port):
        storescu(port, files(tmp_path / "files", *exam()), ae=title)
        source = f"{title}@127.0.0.1:{port}"
        order = door.hospital.ledger.pulls.order(STUDY, source, "test")
        puller(door, source, most_images=2).tick()
    row = door.hospital.ledger.pulls.row(order)
    assert (row["state"], row["images"]) == ("ordered", 2)
    assert row["reason"] == "4 images there, 2 pulled, 2 did not come"


def test_the_command_says_that_no_node_runs_and_what_is_wrong(make_door: MakeDoor) -> None:
    door = make_door()
    config = door.hospital.folder / "node.json"
    config.write_text(json.dumps({"storage": {"data_dir": str(door.hospital.folder)}}))
    common = ("pull", "--study", STUDY, "--config", str(config), "--wait", "0")
    told = run_command(*common, "--from", "PACS@127.0.0.1:104")
    assert told.exit_code == 1
    assert "is it running?" in " ".join(told.output.split())
    assert run_command(*common).exit_code == 1
    assert run_command(*common, "--from", "nobody").exit_code == 1
