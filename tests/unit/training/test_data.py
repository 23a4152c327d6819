"""Public data out of each layout, down to what a network learns from."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from dicom_node.errors import UnsuitableExam
from tests.public_data import RADIUS, breast, write_prepared, write_tcia
from worker.evaluation.overlap import dice
from worker.exam.pixels import OUTSIDE
from worker.training.borrow import borrowed
from worker.training.datasets import views
from worker.training.public import sample_of
from worker.training.segmentation import KINDS, grouped, kind_of, shown
from worker.training.via import draw, read_regions


def areas(*regions):
    return [int(draw([region], (200, 300)).sum()) for region in regions]


def test_every_kind_of_region_is_drawn():
    circle = {"name": "circle", "cx": 100, "cy": 100, "r": 40}
    ellipse = {"name": "ellipse", "cx": 100, "cy": 100, "rx": 60, "ry": 20, "theta": 0.5}
    square = {"name": "polygon", "all_points_x": [10, 50, 50, 10], "all_points_y": [10, 10, 50, 50]}
    line = {**square, "name": "polyline"}
    rect = {"name": "rect", "x": 10, "y": 10, "width": 40, "height": 40}
    point = {"name": "point", "cx": 150, "cy": 100}
    found = areas(circle, ellipse, square, line, rect, point)
    wanted = [math.pi * 1600, math.pi * 1200, 1681, 1681, 1681, math.pi * 625]
    assert found == pytest.approx(wanted, rel=0.06)


def test_a_turned_ellipse_is_turned():
    upright = draw([{"name": "ellipse", "cx": 50, "cy": 50, "rx": 40, "ry": 10}], (100, 100))
    turned = {"name": "ellipse", "cx": 50, "cy": 50, "rx": 40, "ry": 10, "theta": math.pi / 2}
    assert upright[50, 20]
    assert not upright[20, 50]
    assert draw([turned], (100, 100))[20:80, 50].all()


def test_a_region_that_leaves_the_image_is_clipped_and_an_unknown_one_refused():
    mask = draw([{"name": "circle", "cx": 0, "cy": 0, "r": 30}], (50, 50))
    assert mask.sum() == pytest.approx(math.pi * 900 / 4, rel=0.1)
    with pytest.raises(ValueError, match="heart"):
        draw([{"name": "heart", "cx": 1, "cy": 1}], (50, 50))


def test_regions_of_one_image_belong_together_and_empty_ones_are_none(tmp_path):
    text = "#filename,region_shape_attributes\n"
    point = json.dumps({"name": "point", "cx": 1, "cy": 2}).replace('"', '""')
    text += f'a .jpg,"{point}"\na.jpg,"{point}"\nb.jpg,{{}}\n'
    (tmp_path / "regions.csv").write_text(text)
    found = read_regions(tmp_path / "regions.csv")
    assert {name: len(regions) for name, regions in found.items()} == {"a": 2}


def test_the_archives_own_layout_gives_every_class_with_both_energies(tmp_path):
    found = {view.name: view for view in views(write_tcia(tmp_path))}
    assert Counter(view.pathology for view in found.values()) == {
        "Malignant": 2, "Normal": 2, "Benign": 2
    }  # fmt: skip
    malignant = found["P1_L_MLO"]
    assert malignant.low_energy is not None
    assert malignant.mask.mean() == pytest.approx(
        math.pi * (RADIUS * 700) ** 2 / 700 / 420, rel=0.02
    )
    assert malignant.attributes["density"] == "C"  # known of the low-energy row alone
    assert found["P2_L_MLO"].mask.any()  # its name ends in a blank
    assert not found["P1_R_MLO"].mask.any()


def test_the_label_sheet_is_read_as_a_workbook_too(tmp_path):
    from openpyxl import Workbook

    root = write_tcia(tmp_path)
    table = root / "Radiology-manual-annotations.csv"
    book = Workbook()
    sheet = book.active
    sheet.title = "all"
    for line in table.read_text().splitlines():
        sheet.append(line.split(","))
    book.save(table.with_suffix(".xlsx"))
    before = [(view.name, view.pathology, view.attributes) for view in views(root)]
    table.unlink()
    assert [(view.name, view.pathology, view.attributes) for view in views(root)] == before
    table.with_suffix(".xlsx").unlink()
    with pytest.raises(UnsuitableExam, match="it holds the labels"):
        list(views(root))


def test_the_prepared_layout_gives_pairs_and_every_recombined_image(tmp_path):
    found = list(views(write_prepared(tmp_path)))
    assert Counter(view.source for view in found) == {"pairs": 4, "recombined": 12}
    for view in found:
        if view.source == "pairs":
            assert view.low_energy is not None
        else:
            assert view.low_energy is None
            assert (view.mask is None) == (view.pathology == "Benign")
            assert view.recombined.shape[0] > 1.5 * view.recombined.shape[1]  # stretch taken back


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(UnsuitableExam, match=r"no CDD-CESM folder.*pairs/index\.csv"):
        list(views(tmp_path))


def test_a_view_becomes_a_sample_with_its_lesion_in_place(tmp_path):
    for view in views(write_prepared(tmp_path)):
        sample = sample_of(view)
        assert sample.group == view.patient
        assert sample.has_low_energy == (view.source == "pairs")
        if sample.positive:
            bright = sample.image[1].astype(np.float32) > 1.5
            assert dice(bright, sample.lesion) > 0.8


def prepared(tmp_path):
    return [sample for view in views(write_prepared(tmp_path)) if (sample := sample_of(view))]


def test_kinds_of_views_are_told_by_what_is_known_of_them(tmp_path):
    known = [sample for sample in prepared(tmp_path) if sample.lesion is not None]
    counts = Counter(kind_of(sample) for sample in known)
    assert counts == {
        "pair with lesion": 4, "recombined with lesion": 4, "public without lesion": 4
    }  # fmt: skip


def test_the_presence_of_a_low_energy_image_does_not_tell_the_classes_apart(tmp_path):
    groups = grouped([sample for sample in prepared(tmp_path) if sample.lesion is not None])
    rng = np.random.default_rng(0)

    def presence(names):
        """Share of the views of these kinds that are shown with a low-energy image."""
        shares = np.array([KINDS[name].share for name in names])
        seen = [
            np.mean(
                [
                    shown(groups[name][0], KINDS[name], groups, rng)[0].max() > OUTSIDE
                    for _ in range(300)
                ]
            )
            for name in names
        ]
        return float(np.average(seen, weights=shares))

    malignant = presence(["pair with lesion", "recombined with lesion"])
    assert malignant == pytest.approx(presence(["public without lesion"]), abs=0.15)


def test_a_borrowed_image_fills_the_breast_and_nothing_else():
    def image(shape, seed):
        return np.where(shape, np.random.default_rng(seed).uniform(-1, 1, shape.shape), OUTSIDE)

    outline = breast(0, (96, 64), side="L", lesion=0) > 40
    other = np.roll(breast(1, (96, 64), side="L", lesion=0) > 40, 6, axis=0)
    fitted = borrowed(image(outline, 1).astype(np.float32), image(other, 2).astype(np.float32))
    np.testing.assert_array_equal(fitted > OUTSIDE, outline)
    assert borrowed(np.full((8, 8), OUTSIDE, np.float32), fitted[:8, :8]).max() == OUTSIDE
