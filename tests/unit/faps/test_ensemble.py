"""Several networks answering as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.unit.faps.test_predictor import lesion, tiny_faps, view
from worker.faps.ensemble import FapsClassifiers, RefineNets
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier


def refinenet(seed):
    torch.manual_seed(seed)
    return RefineNet(18, width=4, features=4, decoder="light", in_channels=2).eval()


def classifier(seed, energies=2):
    torch.manual_seed(seed)
    options = {"width": 0.05, "pyramid": "semseg", "in_channels": 1}
    return FapsClassifier(energies=energies, **options).eval()


def test_the_mean_of_the_logits_is_what_they_say_together():
    members = [refinenet(seed) for seed in range(3)]
    x = torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = RefineNets(members)(x)
        each = torch.stack([member(x) for member in members])
    torch.testing.assert_close(together, each.mean(dim=0))


def test_one_linear_layer_over_all_maps_is_the_mean_of_the_classifiers():
    members = [classifier(seed) for seed in range(3)]
    crops = torch.randn(2, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    joint = FapsClassifiers(members)
    with torch.inference_mode():
        maps = joint.features(crops)
        together = joint.logits(maps)
        each = torch.stack([m.logits(m.features(crops)) for m in members])
        bias = torch.stack([m.fc.bias for m in members]).mean(dim=0)
        linear = maps.mean(dim=(-2, -1)).flatten(1) @ joint.weight.T + bias
    torch.testing.assert_close(together, each.mean(dim=0))
    torch.testing.assert_close(linear, together)


def test_a_network_and_its_double_answer_like_the_network():
    one = tiny_faps()
    double = replace(
        one,
        segmentation=RefineNets([one.segmentation, one.segmentation]),
        classification=FapsClassifiers([one.classification, one.classification]),
    )
    np.testing.assert_allclose(double.segment(view()), one.segment(view()), atol=1e-6)
    p, (heat,), *_ = one.classify([(view(), lesion())])
    q, (other,), *_ = double.classify([(view(), lesion())])
    assert abs(p - q) < 1e-6
    np.testing.assert_allclose(heat, other, atol=1e-5)
