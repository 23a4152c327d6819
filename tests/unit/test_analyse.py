"""The straight line from headers to results, with a network whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from dicom_node.domain.header import header_from
from dicom_node.domain.identifiers import derive_uid
from worker.analyse import analyse, report_failure
from worker.contracts import ModelCard, PreparedView, Role, RunIdentity, Status
from worker.faps.predictor import Answer
from worker.reading import Source
from worker.training.cem_dicom import CemImage, cem_dataset, code_item
from worker.training.phantom import phantom_exam

ROWS, COLUMNS = 832, 640
VIEWS = ("R CC", "R MLO", "L CC", "L MLO")
CARD = ModelCard(
    name="known answer",
    version="1",
    uuid="00000000-0000-0000-0000-000000000001",
    sha256="0" * 64,
    family="none",
    thresholds={
        "segment": 0.5, "peak": 0.6, "min_area_px": 10, "max_area_fraction": 0.5,
        "malignant_from": 0.65, "benign_below": 0.35,
    },
    statement="A fixed answer.",
)  # fmt: skip
RUN = RunIdentity("1.2.3", "f" * 64, 1, datetime(2026, 3, 1, 12, tzinfo=UTC))


class KnownAnswer:
    """Finds one square in every view of the breasts named, and says how malignant it is."""

    card, grid, thresholds = CARD, (512, 288), CARD.thresholds

    def __init__(self, sides: str = "R", p_malignant: float = 0.8) -> None:
        self.sides, self.p_malignant = sides, p_malignant
        self.asked: list[int] = []
        self.by_view: tuple[float, ...] = ()
        self.strangeness = 0.0

    def segment(self, view: PreparedView) -> np.ndarray:
        probability = np.zeros(self.grid, np.float32)
        side = "R" if view.frame.flipped else "L"
        if side in self.sides:
            probability[200:240, 60:100] = 0.9
        return probability

    def classify(self, views: Sequence) -> Answer:
        self.asked.append(len(views))
        maps = tuple(np.ones(self.grid, np.float32) for _ in views)
        by_view = self.by_view or (self.p_malignant,) * len(views)
        return Answer(self.p_malignant, maps, by_view, self.strangeness)


@cache
def images() -> dict[tuple[str, str, str], Dataset]:
    """Eight images of one exam, made once."""
    exam = phantom_exam(1, rows=ROWS, columns=COLUMNS, spacing_mm=0.28)
    made = {}
    for view in exam.views:
        for energy in ("low_energy", "recombined"):
            name = (view.laterality, view.view, energy)
            made[name] = cem_dataset(
                getattr(view, energy),
                CemImage(
                    energy=energy,
                    laterality=view.laterality,
                    view=view.view,
                    dialect="standard",
                    patient_id="PHANTOM-1",
                    patient_name="Phantom^CEM",
                    study_uid=derive_uid("study"),
                    series_uid=derive_uid("series", *name),
                    sop_uid=derive_uid("sop", *name),
                    accession_number="A1",
                    spacing_mm=0.28,
                    acquired=datetime(2026, 3, 1, 11, tzinfo=UTC),
                    frame_of_reference_uid=derive_uid("frame", *name[:2]),
                ),
            )
    return made


def source(ds: Dataset) -> Source:
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return Source(header_from(ds), stream.getvalue)


def exam(*leave_out: tuple[str, str, str]) -> list[Source]:
    return [source(ds) for name, ds in images().items() if name not in leave_out]


def unreadable(name: tuple[str, str, str]) -> Source:
    """An image whose compressed pixels are no JPEG-LS stream."""
    ds = dcmread(BytesIO(source(images()[name]).read()))
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    from pydicom.encaps import encapsulate

    ds.PixelData = encapsulate([b"\xff\xd8 this is no picture"])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return source(ds)


def test_both_views_of_a_breast_decide_together() -> None:
    faps = KnownAnswer("R", 0.8)
    analysis, results = analyse(exam(), RUN, faps, VIEWS)
    right, left = analysis.findings
    assert analysis.status is Status.COMPLETE
    assert (right.decision, right.p_malignant) == ("malignant", 0.8)
    assert (left.decision, left.p_malignant) == ("no_lesion", None)
    assert faps.asked == [2]
    keys = {(result.role, result.key) for result in results}
    assert {(Role.SEG, "R-CC"), (Role.SEG, "R-MLO"), (Role.SR, "exam")} <= keys
    assert (Role.SEG, "L-CC") not in keys
    assert {(Role.PREVIEW, "L-MLO"), (Role.HEAT_MAP, "R-CC")} <= keys
    for role in (Role.GSPS, Role.SC):
        assert {key for of, key in keys if of is role} == {"R-CC", "R-MLO", "L-CC", "L-MLO"}
    assert (Role.KEY_OBJECTS, "exam") in keys


@pytest.mark.parametrize(
    ("p_malignant", "decision"),
    [(0.1, "benign"), (0.35, "indeterminate"), (0.64, "indeterminate"), (0.65, "malignant")],
)
def test_the_card_decides_where_benign_ends(p_malignant: float, decision: str) -> None:
    analysis, _ = analyse(exam(), RUN, KnownAnswer("L", p_malignant), VIEWS)
    assert [finding.decision for finding in analysis.findings] == ["no_lesion", decision]


def test_a_missing_image_makes_the_exam_partial_and_is_named() -> None:
    left_out = ("L", "MLO", "low_energy")
    analysis, _ = analyse(exam(left_out), RUN, KnownAnswer(), VIEWS)
    assert analysis.status is Status.PARTIAL
    assert analysis.missing == ("L MLO: low-energy image",)
    assert "L MLO: low-energy image" in analysis.reason
    assert [len(finding.views) for finding in analysis.findings] == [2, 1]


def test_one_unreadable_view_does_not_cost_the_others() -> None:
    name = ("R", "CC", "recombined")
    sources = [*exam(name), unreadable(name)]
    analysis, results = analyse(sources, RUN, KnownAnswer(), VIEWS)
    assert analysis.status is Status.PARTIAL
    assert "R CC" in analysis.reason
    assert {e.code for e in analysis.excluded} == {"pixel_decode"}
    assert [view.pair.name for f in analysis.findings for view in f.views] == [
        "R MLO", "L CC", "L MLO",
    ]  # fmt: skip
    assert Role.SR in {result.role for result in results}


def test_an_exam_of_which_nothing_can_be_read_has_failed_and_is_reported() -> None:
    name = ("R", "CC", "recombined")
    sources = [source(images()["R", "CC", "low_energy"]), unreadable(name)]
    analysis, results = analyse(sources, RUN, KnownAnswer(), VIEWS)
    assert (analysis.status, analysis.reason_code) == (Status.FAILED, "pixel_decode")
    roles = [result.role for result in results]
    assert (roles.count(Role.SR), roles.count(Role.SEG), roles[-1]) == (1, 0, Role.ANALYSIS)


def test_an_exam_without_a_pair_is_unsuitable_and_says_why() -> None:
    sources = [source(images()["R", "CC", "recombined"])]
    analysis, results = analyse(sources, RUN, KnownAnswer(), VIEWS)
    assert analysis.status is Status.UNSUITABLE
    assert "no low-energy image of this view" in analysis.reason
    assert Role.SR in {result.role for result in results}


def test_two_tiles_of_one_view_keep_their_own_pictures() -> None:
    tiles = []
    for name, tile in (("first", "399011000"), ("second", "399161006")):
        for energy in ("low_energy", "recombined"):
            ds = dcmread(BytesIO(source(images()["R", "CC", energy]).read()))
            ds.SOPInstanceUID = derive_uid("tile", name, energy)
            ds.FrameOfReferenceUID = derive_uid("tile", name)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.pop("SourceImageSequence", None)
            ds.PartialView = "YES"
            ds.PartialViewCodeSequence = [code_item(tile, "SCT", name)]
            tiles.append(source(ds))
    analysis, results = analyse(tiles, RUN, KnownAnswer(), ("R CC",))
    assert len(analysis.findings[0].views) == 2
    assert all(view.heat_map is not None for view in analysis.findings[0].views)
    for role in (Role.PREVIEW, Role.HEAT_MAP, Role.SEG, Role.GSPS, Role.SC):
        assert len({result.key for result in results if result.role is role}) == 2


def test_the_same_exam_gives_the_same_objects_in_any_order() -> None:
    first = dicom_objects(analyse(exam(), RUN, KnownAnswer(), VIEWS)[1])
    again = dicom_objects(analyse(exam()[::-1], RUN, KnownAnswer(), VIEWS)[1])
    assert {key: uid for key, (uid, _) in first.items()} == {
        key: uid for key, (uid, _) in again.items()
    }
    assert first["seg", "R-CC"] == again["seg", "R-CC"]
    other = dicom_objects(analyse(exam(), replace(RUN, revision=2), KnownAnswer(), VIEWS)[1])
    assert first["sr", "exam"][0] != other["sr", "exam"][0]


def dicom_objects(results: Sequence) -> dict[tuple[str, str], tuple[str, bytes]]:
    return {
        (result.role.value, result.key): (result.sop_instance_uid, result.content)
        for result in results
        if result.media_type == "application/dicom"
    }


def test_an_exam_that_keeps_failing_is_reported_without_touching_a_pixel() -> None:
    sources = [replace(one, read=without_pixels(one)) for one in exam()]
    reason = "the analysis failed 3 times; worker went silent"
    analysis, results = report_failure(sources, RUN, CARD, "worker_lost", reason)
    assert analysis.status is Status.FAILED
    report = next(dcmread(BytesIO(r.content)) for r in results if r.role is Role.SR)
    assert "failed 3 times" in report.to_json()


def without_pixels(one: Source):
    ds = dcmread(BytesIO(one.read()), stop_before_pixels=True)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue
