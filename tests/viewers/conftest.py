"""One exam that has gone through a real node into a real archive, and a browser to look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from tests.e2e.conftest import TOML, study_of
from tests.peers import Orthanc, faps, free_port, need, orthanc, running_node
from tests.viewers.chromium import Chromium, chromium

# What docs/viewers.md asks of a site with OHIF.
PROFILE = """
outputs = ["seg", "sr", "sc", "gsps", "key_objects", "cad_sr"]
sr_per = "image"
"""
# Half of a mammogram's matrix: drawn in a quarter of the time, and no smaller than the viewport.
ROWS, COLUMNS = 1664, 1280


@dataclass(frozen=True)
class Returned:
    """An exam in the archive with what the node returned; ``truth`` is the phantom's."""

    archive: Orthanc
    study: str
    folder: Path
    objects: list[Dataset]
    truth: dict[tuple[str, str], dict[str, object]]

    @property
    def series(self) -> int:
        return len({ds.SeriesInstanceUID for ds in self.objects})

    def of_class(self, sop_class: str) -> list[Dataset]:
        return [ds for ds in self.objects if ds.SOPClassUID == sop_class]

    def image(self, uid: str) -> Dataset:
        (found,) = [ds for ds in self.objects if ds.SOPInstanceUID == uid]
        return found

    def file(self, ds: Dataset) -> Path:
        return Path(str(ds.filename))


@pytest.fixture(scope="session")
def returned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Returned]:
    need("chromium", "chromium")
    folder = tmp_path_factory.mktemp("viewed")
    exam = _phantom(folder / "phantom")
    study = study_of(exam)
    port, http_port = free_port(), free_port()
    with orthanc(folder, {"faps": ("FAPS", port)}, dicomweb=True) as archive:
        toml = TOML.format(
            port=port, http_port=http_port, data=folder / "data", pacs_port=archive.port
        )
        with running_node(folder, toml + PROFILE, port, http_port) as node:
            for path in sorted(exam.glob("*.dcm")):
                archive.post("/instances", path.read_bytes())
            archive.post("/modalities/faps/store", json.dumps(archive.instances(study)))
            sheet = node.wait_for_state(study, "confirmed", "failed", "held", seconds=180)
            assert sheet.line.state == "confirmed", sheet.line.reason
        objects = archive.objects(study, folder / "returned")
        truth = json.loads((exam / "truth.json").read_text())
        views = {(view["laterality"], view["view"]): view for view in truth["views"]}
        result = Returned(archive, study, folder, objects, views)
        # Without a mask there is nothing to look at: the shipped model finds this phantom's lesion.
        assert result.of_class(SegmentationStorage)
        yield result


def _phantom(folder: Path) -> Path:
    size = ["--rows", str(ROWS), "--columns", str(COLUMNS)]
    done = faps("phantom", "--out", str(folder), "--seed", "5", *size)
    assert done.returncode == 0, done.stderr
    return next(folder.rglob("*.dcm")).parent


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started
