"""FAPS' two questions, asked with tiny seeded networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from worker.contracts import Frame, ModelCard, PreparedView
from worker.faps.crop import CropRule, Square, cut, square_around
from worker.faps.heatmap import activation_map
from worker.faps.predictor import Calibration, Faps
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier

GRID = (96, 64)
OUTSIDE = -2.5
RULE = CropRule(size=64, margin=2.0, smallest=24, outside=OUTSIDE)


def tiny_faps(
    energies=("low_energy", "recombined"),
    channels=("low_energy", "recombined"),
    size=GRID,
    seed=3,
):
    torch.manual_seed(seed)
    card = ModelCard(
        name="tiny",
        version="0",
        uuid="",
        sha256="",
        family="",
        thresholds={"segment": 0.5},
        statement="",
    )
    return Faps(
        card=card,
        grid=GRID,
        size=size,
        crop=RULE,
        channels=channels,
        energies=energies,
        calibration=Calibration(slope=2.0, intercept=-0.5),
        segmentation=RefineNet(
            18, width=4, features=4, decoder="light", in_channels=len(channels)
        ).eval(),
        classification=FapsClassifier(
            width=0.05, pyramid="semseg", in_channels=1, energies=len(energies)
        ).eval(),
    )


def view(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (2, *GRID)).clip(-2.4, 5).astype(np.float32)
    image[:, :10] = OUTSIDE
    frame = Frame(GRID, GRID, 0, 0, *GRID, 1.0, 0.0, 0.0, flipped=False)
    return PreparedView(image=image, frame=frame)


def lesion(row=50, column=20, radius=6):
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    return ((y - row) ** 2 + (x - column) ** 2 < radius**2).astype(np.float32)


def test_segmentation_is_a_probability_on_the_grid_and_silent_outside_the_breast():
    probability = tiny_faps().segment(view())
    assert probability.shape == GRID
    assert probability.dtype == np.float32
    assert 0 < probability[20:].min() <= probability.max() < 1
    assert probability[:10].max() == 0


def test_a_network_of_a_smaller_size_answers_on_the_whole_grid():
    half = (GRID[0] // 2, GRID[1] // 2)
    probability = tiny_faps(size=half).segment(view())
    assert probability.shape == GRID
    assert probability.max() > 0
    assert not np.array_equal(probability, tiny_faps().segment(view()))


def test_a_network_of_three_channels_gets_the_stack_that_the_card_names():
    stacked = tiny_faps(channels=("low_energy", "recombined", "low_energy"))
    changed = view()
    changed.image[1] *= 2
    before, after = stacked.segment(view()), stacked.segment(changed)
    assert not np.array_equal(before, after)
    stem = stacked.segmentation.trunk.conv1.weight
    with torch.no_grad():
        stem[:, 0] += stem[:, 2]
        stem[:, 2] = 0
    np.testing.assert_allclose(stacked.segment(view()), before, atol=1e-5)


def test_a_view_of_another_grid_is_refused_with_the_way_out():
    small = PreparedView(image=np.zeros((2, 32, 32), np.float32), frame=view().frame)
    with pytest.raises(ValueError, match=r"prepare it with grid=faps\.grid"):
        tiny_faps().segment(small)


def test_the_same_view_gets_the_same_answer_twice():
    faps = tiny_faps()
    np.testing.assert_array_equal(faps.segment(view()), faps.segment(view()))
    first, second = (faps.classify([(view(), lesion())]) for _ in range(2))
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1][0], second[1][0])


def test_a_missing_view_is_left_out_of_the_mean_exactly():
    faps = tiny_faps()

    def logit(p):
        return np.log(p / (1 - p))

    cc, mlo = (view(0), lesion()), (view(1), lesion(60, 30))
    alone = [logit(faps.classify([one])[0]) for one in (cc, mlo)]
    both = logit(faps.classify([cc, mlo])[0])
    assert both == pytest.approx(np.mean(alone), abs=1e-4)
    assert abs(alone[0] - alone[1]) > 1e-4


def test_no_view_at_all_is_refused():
    with pytest.raises(ValueError, match="no view"):
        tiny_faps().classify([])


def test_the_probability_is_the_calibrated_softmax():
    p = Calibration(slope=1.0, intercept=0.0).probability(torch.tensor([0.3, 1.1]))
    assert p == pytest.approx(float(torch.softmax(torch.tensor([0.3, 1.1]), 0)[1]))
    assert Calibration(2.0, -0.5).probability(torch.tensor([0.0, 1.0])) == pytest.approx(
        1 / (1 + np.exp(-1.5))
    )
    assert 0 <= Calibration(1e9, 0.0).probability(torch.tensor([9.0, 0.0])) < 1e-9


def test_a_surer_segmentation_raises_the_probability_where_the_bundle_says_so():
    faps = replace(tiny_faps(), calibration=Calibration(2.0, -0.5, evidence=0.5))
    probabilities = [faps.classify([(view(), peak * lesion())])[0] for peak in (0.7, 0.99)]
    odds = [np.log(p / (1 - p)) for p in probabilities]
    difference = 0.5 * (np.log(0.99 / 0.01) - np.log(0.7 / 0.3))
    assert odds[1] - odds[0] == pytest.approx(difference, abs=1e-3)


def test_a_bundle_of_one_energy_does_not_look_at_the_other():
    faps = tiny_faps(energies=("recombined",))
    changed = view()
    other = PreparedView(
        image=np.stack([changed.image[0] * -1, changed.image[1]]), frame=changed.frame
    )
    assert faps.classify([(changed, lesion())])[0] == faps.classify([(other, lesion())])[0]


def test_heat_maps_lie_on_the_grid_around_the_lesion():
    faps = tiny_faps()
    _, (heat, _), *_ = faps.classify([(view(0), lesion()), (view(1), lesion(70, 40))])
    square = square_around(lesion(), RULE)
    assert heat.shape == GRID
    assert heat.dtype == np.float32
    assert 0 <= heat.min() <= heat.max() <= 1
    outside = heat.copy()
    outside[square.top : square.top + square.side, : square.left + square.side] = 0
    assert outside.max() == 0


def test_the_closed_form_equals_grad_cam():
    """Grad-CAM by its definition: gradients of the malignancy contrast, averaged over the map."""
    network = tiny_faps().classification
    crops = torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    maps = network.features(crops).detach().requires_grad_()
    logits = network.logits(maps)[0]
    (gradient,) = torch.autograd.grad(logits[1] - logits[0], maps)
    weights = gradient.mean(dim=(-2, -1), keepdim=True)
    grad_cam = (weights * maps).sum(dim=2)[0].sum(dim=0).detach()
    closed = activation_map(maps[0].detach(), network.fc.weight.detach())
    size = maps.shape[-1] * maps.shape[-2]
    torch.testing.assert_close(closed / size, grad_cam, rtol=1e-4, atol=1e-7)


def test_the_closed_form_equals_captums_grad_cam():
    network = tiny_faps(energies=("recombined",)).classification
    crop = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(2))

    def contrast(image):
        logits = network.logits(network.pyramid(image)[:, None])
        return logits[:, 1] - logits[:, 0]

    theirs = LayerGradCam(contrast, network.ppm).attribute(crop)[0, 0].detach()
    with torch.no_grad():
        ours = activation_map(network.features(crop)[0], network.fc.weight)
    torch.testing.assert_close(ours / ours.numel(), theirs, rtol=1e-4, atol=1e-7)


def test_squares_hold_the_largest_component_with_its_margin():
    both = np.maximum(lesion(50, 20, 9), lesion(80, 50, 3))
    square = square_around(both, RULE)
    assert square.side == 34  # 17 pixels wide, twice that
    assert (square.top + square.side / 2, square.left + square.side / 2) == (
        pytest.approx(50, abs=1),
        pytest.approx(20, abs=1),
    )
    assert square_around(lesion(50, 20, 2), RULE).side == RULE.smallest


def test_a_map_without_a_lesion_is_cropped_at_its_maximum():
    faint = lesion(30, 40, 1) * 0.2
    square = square_around(faint, RULE)
    assert (square.top + square.side // 2, square.left + square.side // 2) == (30, 40)


def test_a_crop_over_the_edge_is_filled_with_outside():
    image = torch.ones(2, *GRID)
    crop = cut(image, Square(top=-16, left=-16, side=32), RULE)
    assert crop.shape == (2, 64, 64)
    assert float(crop[:, :30].max()) == OUTSIDE
    assert float(crop[:, 34:, 34:].min()) == pytest.approx(1.0)


def test_a_crop_of_the_same_size_is_the_image_itself():
    image = torch.randn(2, *GRID, generator=torch.Generator().manual_seed(0))
    rule = CropRule(size=20, margin=2.0, smallest=8, outside=OUTSIDE)
    crop = cut(image, Square(top=30, left=10, side=20), rule)
    torch.testing.assert_close(crop, image[:, 30:50, 10:30])
