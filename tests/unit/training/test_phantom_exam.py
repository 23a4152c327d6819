"""What a phantom exam promises to training and to the node."""

import numpy as np
import pytest

from worker.training.phantom import phantom_exam
from worker.training.phantom.field import Grid, lines, resize
from worker.training.phantom.lesion import grow, project

LOW = {"rows": 416, "columns": 320, "spacing_mm": 0.56}


@pytest.fixture(scope="module")
def exam():
    return phantom_exam(12, **LOW, lesions={"R": 1, "L": 2}, malignant=True)


def test_the_same_seed_gives_the_same_bits(exam):
    again = phantom_exam(12, **LOW, lesions={"R": 1, "L": 2}, malignant=True)

    for first, second in zip(exam.views, again.views, strict=True):
        assert np.array_equal(first.low_energy, second.low_energy)
        assert np.array_equal(first.recombined, second.recombined)
        assert np.array_equal(first.mask, second.mask)


def test_a_view_is_the_same_alone_as_among_the_others(exam):
    (alone,) = phantom_exam(
        12, **LOW, lesions={"R": 1, "L": 2}, malignant=True, views=(("L", "MLO"),)
    ).views

    assert np.array_equal(alone.low_energy, exam.views[3].low_energy)


def test_another_seed_gives_another_breast(exam):
    other = phantom_exam(13, **LOW, views=(("R", "CC"),)).views[0]

    assert not np.array_equal(other.low_energy, exam.views[0].low_energy)


def test_pixels_are_twelve_bits_with_air_black_and_breast_grey(exam):
    for view in exam.views:
        for image in (view.low_energy, view.recombined):
            assert image.dtype == np.uint16
            assert image.shape == view.mask.shape == (416, 320)
            assert image.max() <= 4095
            assert np.median(image[:, :5] if view.laterality == "R" else image[:, -5:]) < 20
            assert 400 < np.median(image[image > 100]) < 2000


def test_the_chest_wall_is_at_the_right_for_a_right_breast_and_at_the_left_for_a_left(exam):
    for view in exam.views:
        tissue = view.low_energy > 100
        left, right = tissue[:, :10].sum(), tissue[:, -10:].sum()

        assert (right > 3 * left) if view.laterality == "R" else (left > 3 * right)


def test_the_mask_lies_where_the_recombined_image_enhances():
    for seed in range(5):
        exam = phantom_exam(seed, **LOW, malignant=True)
        for view in exam.views:
            if view.mask.any():
                image = view.recombined.astype(float)
                breast = (image > 200) & ~view.mask
                assert image[view.mask].mean() > image[breast].mean() + image[breast].std()


def test_both_views_show_one_lesion_at_one_size_and_depth():
    for seed in range(6):
        views = phantom_exam(seed, **LOW, lesions={"L": 1}, views=(("L", "CC"), ("L", "MLO"))).views
        areas = [view.mask.sum() for view in views]
        depths = [np.nonzero(view.mask)[1].mean() * 0.56 for view in views]

        assert 0.6 < areas[0] / areas[1] < 1.67
        assert depths[0] == pytest.approx(depths[1], abs=3.0)


def test_lesions_are_as_many_as_asked_for(exam):
    assert [len(view.lesion_masks) for view in exam.views] == [1, 2, 1, 2]
    assert {side: len(found) for side, found in exam.lesions.items()} == {"R": 1, "L": 2}
    for view in exam.views:
        assert np.array_equal(view.mask, np.logical_or.reduce(view.lesion_masks))
        assert view.malignant is True


def test_a_breast_without_lesion_has_no_mask_and_no_verdict():
    exam = phantom_exam(3, **LOW, lesions={})

    assert all(view.malignant is None and not view.mask.any() for view in exam.views)


def test_two_lesions_of_one_breast_do_not_touch(exam):
    for view in exam.views:
        if len(view.lesion_masks) == 2:
            assert not (view.lesion_masks[0] & view.lesion_masks[1]).any()


def test_without_a_wish_one_breast_gets_one_lesion():
    for seed in range(4):
        found = phantom_exam(seed, rows=64, columns=48, spacing_mm=3.6).lesions
        assert sorted(len(side) for side in found.values()) == [0, 1]


def test_a_coarse_grid_shows_the_same_breast_as_a_fine_one():
    fine = phantom_exam(5, rows=832, columns=640, spacing_mm=0.28, views=(("L", "CC"),)).views[0]
    coarse = phantom_exam(5, **LOW, views=(("L", "CC"),)).views[0]

    seen = resize(fine.low_energy.astype(np.float32), coarse.low_energy.shape)
    assert np.corrcoef(seen.ravel(), coarse.low_energy.ravel())[0, 1] > 0.99
    assert fine.mask.sum() * 0.28**2 == pytest.approx(coarse.mask.sum() * 0.56**2, rel=0.1, abs=5)


def test_malignant_and_benign_lesions_overlap_but_differ():
    rng = np.random.default_rng(0)
    uptake = {
        kind: np.array([grow(rng, malignant=kind).iodine_mg_cm2 for _ in range(300)])
        for kind in (False, True)
    }

    assert np.median(uptake[True]) > 1.5 * np.median(uptake[False])
    assert np.percentile(uptake[False], 90) > np.percentile(uptake[True], 10)


def test_a_projected_body_is_as_deep_as_its_diameter():
    body = grow(np.random.default_rng(3), malignant=False)
    for view in ("CC", "MLO"):
        shadow = project(body, view)
        assert shadow.path_mm.max() == pytest.approx(2 * body.radius, rel=0.45)


def test_a_line_is_as_strong_on_every_grid():
    points = np.stack([np.arange(10, 90, 0.05), np.zeros(1600)], axis=1).astype(np.float32)
    weights = np.full(1600, 0.05, np.float32)
    for spacing in (0.14, 0.28, 0.56):
        drawn = lines(
            Grid(round(40 / spacing), round(100 / spacing), spacing), points, weights, 1.0
        )
        assert drawn.max() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"views": (("L", "ML"),)}, "knows L and R, CC and MLO"),
        ({"lesions": {"B": 1}}, "sides are L and R"),
        ({"rows": 6000, "columns": 100, "spacing_mm": 0.07}, "at most"),
        ({"rows": 0, "columns": 100, "spacing_mm": 0.07}, "must be positive"),
    ],
)
def test_an_impossible_wish_is_refused_with_the_reason(wish, message):
    with pytest.raises(ValueError, match=message):
        phantom_exam(1, **{**LOW, **wish})
