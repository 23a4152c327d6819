"""Folders of ``faps phantom`` as data to learn from and to be measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicom_node.errors import UnsuitableExam
from worker.training.datasets import views
from worker.training.order import Order
from worker.training.phantom.write import write_exams
from worker.training.public import sample_of
from worker.training.segmentation import kind_of
from worker.training.synthetic import make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms")
    write_exams(out, exams=2, seed=4, rows=832, columns=640, spacing_mm=0.28, masks=True, workers=1)
    return out


def test_every_view_comes_with_its_pair_its_masks_and_its_class(folder: Path):
    found = list(views(folder))
    assert len(found) == 8
    assert {view.patient for view in found} == {"phantom-4", "phantom-5"}
    kinds = {kind_of(sample) for view in found if (sample := sample_of(view)) is not None}
    assert kinds == {"phantom with lesion", "phantom without lesion"}
    for view in found:
        assert (view.pathology == "Normal") is not bool(view.mask.any())


def test_a_view_out_of_a_folder_is_the_one_that_training_would_have_made(folder: Path):
    view = next(v for v in views(folder) if v.name == "PHANTOM-4_R_CC")
    sample, made = sample_of(view), make(4, "R", "CC", None)
    assert sample is not None
    assert sample.lesion is not None
    assert made.lesion is not None
    np.testing.assert_array_equal(sample.lesion, made.lesion)
    # 12 bits of a file round what an array keeps.
    assert np.abs(sample.image.astype(float) - made.image.astype(float)).mean() < 0.02


def test_such_a_folder_is_learnt_from_alone_and_by_patient(folder: Path):
    order = Order(folder, folder / "out", hours=0.1)
    assert order.synthetic
    assert [part.name for part in order.parts] == ["held-out", "all"]


def test_an_exam_without_masks_says_how_to_get_them(tmp_path: Path):
    write_exams(tmp_path, seed=4, rows=832, columns=640, spacing_mm=0.28, workers=1)
    with pytest.raises(UnsuitableExam, match="write the exams with this `faps phantom`"):
        list(views(tmp_path))
