"""A trunk that ends early, a trunk whose beginning is fixed."""

from __future__ import annotations

import copy

import torch

from worker.faps.efficientnet import EfficientNetLite


def test_a_short_trunk_is_the_beginning_of_the_whole_one():
    whole = EfficientNetLite(in_channels=1).eval()
    short = EfficientNetLite(in_channels=1, stages=5).eval()
    names = short.state_dict().keys()
    assert names < whole.state_dict().keys()
    short.load_state_dict({k: v for k, v in whole.state_dict().items() if k in names})
    x = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        maps = short(x)
        assert [tuple(m.shape[1:]) for m in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4)]
        assert all(torch.equal(a, b) for a, b in zip(maps, whole(x), strict=False))
    assert short.channels == [24, 40, 112]


def test_a_step_of_training_leaves_what_is_fixed_as_it_was():
    trunk = EfficientNetLite(in_channels=1, stages=5)
    trunk.fix(3)
    before = copy.deepcopy(trunk.state_dict())
    optimiser = torch.optim.AdamW(trunk.parameters(), lr=0.1)
    trunk.train()(torch.randn(2, 1, 64, 64))[-1].square().mean().backward()
    optimiser.step()
    changed = {
        k.split(".")[1] for k, v in trunk.state_dict().items() if not torch.equal(v, before[k])
    }
    assert changed == {str(n) for n in range(5, 11)}  # blocks of stages four and five
