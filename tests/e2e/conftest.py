"""One node with Orthanc as its PACS and modality, shared by all journeys."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite

from dicom_node.domain.identifiers import derive_uid
from tests.peers import Orthanc, RunningNode, faps, free_port, orthanc, running_node

ROWS, COLUMNS = 832, 640

TOML = """
[listener]
port = {port}
ae_title = "FAPS"

[web]
port = {http_port}

[storage]
data_dir = "{data}"

# A test waits for silence in seconds, a hospital in minutes.
[completeness]
settle_s = 0.5
quiet_s = 2
deadline_s = 3

# One core for the analysis: tests and peers use the others.
[worker]
threads = 1

# Says something only where a radiologist's category came with the exam.
[assistance]
birads = true

[[destinations]]
name = "pacs"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {pacs_port}
confirm = "commitment"
"""


@dataclass
class Hospital:
    """The node and the PACS beside it."""

    node: RunningNode
    pacs: Orthanc


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    port, http_port = free_port(), free_port()
    folder = tmp_path_factory.mktemp("node")
    pacs_folder = tmp_path_factory.mktemp("pacs")
    with orthanc(pacs_folder, {"faps": ("FAPS", port)}) as pacs:
        toml = TOML.format(
            port=port, http_port=http_port, data=folder / "data", pacs_port=pacs.port
        )
        with running_node(folder, toml, port, http_port) as node:
            yield Hospital(node, pacs)


MakeExam = Callable[..., Path]


@pytest.fixture(scope="session")
def make_exam(tmp_path_factory: pytest.TempPathFactory) -> MakeExam:
    """Phantom exams as DICOM, each a new study; ``views`` keeps only some of them."""
    made: dict[tuple[int, str], Path] = {}
    count = iter(range(10_000))

    def original(seed: int, dialect: str) -> Path:
        if (seed, dialect) not in made:
            folder = tmp_path_factory.mktemp("phantom")
            result = faps(
                "phantom", "--out", str(folder), "--seed", str(seed), "--dialect", dialect,
                "--rows", str(ROWS), "--columns", str(COLUMNS),
            )  # fmt: skip
            assert result.returncode == 0, result.stderr
            made[seed, dialect] = next(folder.rglob("*.dcm")).parent
            assert len(list(made[seed, dialect].glob("*.dcm"))) == 8
        return made[seed, dialect]

    def make(seed: int = 5, dialect: str = "standard", views: tuple[str, ...] = ("",)) -> Path:
        number = next(count)
        source = original(seed, dialect)
        folder = tmp_path_factory.mktemp("exam")
        as_new_study(source, folder, f"test {number}", views)
        shutil.copy2(source / "truth.json", folder)
        return folder

    return make


def as_new_study(source: Path, target: Path, name: str, views: tuple[str, ...] = ("",)) -> None:
    """Copy files under a study of their own, with every UID derived from ``name``."""
    for path in sorted(source.glob("*.dcm")):
        if not path.name.startswith(views):
            continue
        ds = dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(ds, keyword, derive_uid(name, str(ds[keyword].value)))
        for item in ds.get("SourceImageSequence", []):
            item.ReferencedSOPInstanceUID = derive_uid(name, str(item.ReferencedSOPInstanceUID))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        dcmwrite(target / path.name, ds)


@pytest.fixture
def exam(make_exam: MakeExam) -> Path:
    return make_exam()


def study_of(folder: Path) -> str:
    """Study Instance UID of the files in a folder."""
    path = next(iter(sorted(folder.rglob("*.dcm"))))
    return str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)
