"""A presentation state shows the grey values of the image, whatever its header says of them."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from tests.analysis_builders import ROWS, analysis, finding, right_breast, view_result
from tests.conformance.validators import dciodvfy_errors, dcmpschk_complaints, find_tool
from tests.report_reader import objects_by_view, read, written
from worker.contracts import Analysis, Role

WINDOW = {"WindowCenter": ["2000", "1800"], "WindowWidth": ["3000", "2500"]}
RESCALE = {"RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US"}


@pytest.mark.dcmtk
@pytest.mark.skipif(find_tool("dcmpschk") is None, reason="Debian's dcmtk is not installed")
@pytest.mark.parametrize("kind", ["sigmoid", "table"])
def test_validators_pass_windows_and_tables(kind: str, tmp_path: Path):
    attributes = {
        "sigmoid": {"VOILUTFunction": "SIGMOID", **WINDOW, **RESCALE},
        "table": {"VOILUTSequence": Sequence([_table(bits=16)])},
    }[kind]
    for file in written(analysis(right_breast(**attributes)), tmp_path, Role.GSPS):
        assert dcmpschk_complaints(file) == []
        assert dciodvfy_errors(file) == []


@pytest.mark.parametrize(
    "change",
    [{"Rows": ROWS - 2}, {"PhotometricInterpretation": "MONOCHROME1"}, RESCALE],
    ids=["another matrix", "another polarity", "another rescale"],
)
def test_a_low_energy_image_that_is_shown_otherwise_is_left_out(change: dict[str, object]):
    view = view_result("R", "CC")
    for keyword, value in change.items():
        setattr(view.low_energy, keyword, value)
    (state,) = states(analysis(finding("R", view))).values()
    (series,) = state.ReferencedSeriesSequence
    (image,) = series.ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == view.recombined.SOPInstanceUID


def test_the_first_window_of_the_image_is_kept_with_its_function():
    state = states(analysis(right_breast(VOILUTFunction="SIGMOID", **WINDOW, **RESCALE)))["R-CC"]
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction) == (2000, 3000, "SIGMOID")
    assert "ReferencedImageSequence" not in voi  # one window for both images
    assert (state.RescaleIntercept, state.RescaleSlope, state.RescaleType) == (0, 1, "US")


def test_images_with_windows_of_their_own_keep_them():
    view = view_result("R", "CC", **WINDOW)
    view.low_energy.WindowCenter = "900"
    (state,) = states(analysis(finding("R", view))).values()
    windows = {
        voi.ReferencedImageSequence[0].ReferencedSOPInstanceUID: voi.WindowCenter
        for voi in state.SoftcopyVOILUTSequence
    }
    assert windows == {view.recombined.SOPInstanceUID: 2000, view.low_energy.SOPInstanceUID: 900}


def test_a_table_comes_before_a_window_also_out_of_an_implicit_vr_file():
    view = view_result("R", "CC", VOILUTSequence=Sequence([_table(), _table()]), **WINDOW)
    view = replace(view, recombined=_through_implicit_vr(view.recombined))
    (state,) = states(analysis(finding("R", view))).values()
    first = state.SoftcopyVOILUTSequence[0]
    assert "WindowCenter" not in first
    (table,) = first.VOILUTSequence
    assert list(table.LUTDescriptor) == [4, 0, 12]
    assert table["LUTData"].value in (_curve(12).tolist(), _curve(12).tobytes())


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({}, "IDENTITY"),
        ({"PresentationLUTShape": "IDENTITY"}, "IDENTITY"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "INVERSE"),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
            "INVERSE",
        ),
    ],
)
def test_polarity_is_the_images(attributes: dict[str, str], shape: str):
    for state in states(analysis(right_breast(**attributes))).values():
        assert state.PresentationLUTShape == shape


def _curve(bits: int) -> np.ndarray:
    return np.array([0, 1000, 3000, 2**bits - 1], dtype="<u2")


def _table(bits: int = 12) -> Dataset:
    """A table of four entries; dciodvfy knows tables of 8 and 16 bits only."""
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4, 0, bits])
    table.LUTExplanation = "NORMAL"
    table.add_new("LUTData", "OW", _curve(bits).tobytes())
    return table


def _through_implicit_vr(ds: Dataset) -> Dataset:
    """``ds`` as it comes out of a file that names no VR."""
    ds.PixelRepresentation = 0
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return read(stream.getvalue())


def states(made: Analysis) -> dict[str, Dataset]:
    return objects_by_view(made, Role.GSPS)
