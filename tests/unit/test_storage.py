"""Weights that take half the room and answer the same."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import load_file

from tests.unit.faps.test_predictor import view
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.load import load
from worker.storage import stored, widened
from worker.training import bundle
from worker.training.bundle import base_card, write_bundle


def test_an_eighth_of_a_percent_of_the_largest_weight_is_lost_at_most():
    rng = torch.Generator().manual_seed(0)
    state = {
        "conv.weight": torch.randn(64, 32, 3, 3, generator=rng)
        * torch.logspace(-4, 2, 64)[:, None, None, None],
        "bn.weight": torch.rand(64, generator=rng),
        "bn.num_batches_tracked": torch.tensor(7),
        "dead.weight": torch.zeros(64, 64),
    }
    files = stored(state, small=True)
    back = widened(files)
    assert files["conv.weight"].dtype == torch.int8
    assert set(back) == set(state)
    largest = state["conv.weight"].abs().amax((1, 2, 3), keepdim=True)
    assert ((back["conv.weight"] - state["conv.weight"]).abs() <= largest / 127 / 2 * 1.001).all()
    assert not back["dead.weight"].any()
    assert int(back["bn.num_batches_tracked"]) == 7
    # Writing again what was read loses nothing more.
    again = widened(stored(back, small=True))
    assert all(torch.equal(back[name], again[name]) for name in back)


def test_a_parameter_that_is_called_scale_is_no_scale():
    state = {"layer.scale": torch.arange(4.0), "layer.weight": torch.ones(2, 2)}
    assert set(widened(stored(state, small=True))) == set(state)


def test_a_large_bundle_is_stored_small_proves_itself_and_answers_nearly_the_same(
    tmp_path, monkeypatch
):
    card = base_card("tiny", "1")
    card["segmentation"] |= {"width": 8, "features": 8}
    card["classification"] |= {"width": 0.1}
    torch.manual_seed(0)
    options = {k: v for k, v in card["classification"].items() if k != "energies"}
    states = {
        "segmentation": RefineNet(**card["segmentation"]).state_dict(),
        "classification": FapsClassifier(**options).state_dict(),
    }
    write_bundle(tmp_path / "wide", copy.deepcopy(card), states)
    monkeypatch.setattr(bundle, "LARGEST", 1000)
    write_bundle(tmp_path / "small", card, states)
    sizes = [
        sum(f.stat().st_size for f in (tmp_path / name).glob("*ation.safetensors"))
        for name in ("wide", "small")
    ]
    assert sizes[1] < 0.75 * sizes[0]
    assert torch.int8 in {
        t.dtype for t in load_file(tmp_path / "small/segmentation.safetensors").values()
    }
    wide, small = (load(tmp_path / name, allow_unsigned=True) for name in ("wide", "small"))
    given = replace(
        view(), image=np.random.default_rng(0).normal(0, 1, (2, *wide.grid)).astype("f4")
    )
    a, b = wide.segment(given), small.segment(given)
    assert a.std() > 0
    assert np.abs(a - b).max() < 0.02
