"""A backbone that learnt from photographs becomes a trunk of ours that computes the same."""

from __future__ import annotations

import torch

from tests.authors_networks import Shapes, batch_norm, weights
from worker.bundle import open_bundle
from worker.faps.efficientnet import EfficientNetLite
from worker.load import load, load_network
from worker.training.convert import convert

# Tan & Le 2019, table 1: blocks, kernel, expansion, outputs of each stage.
STAGES = (
    (1, 3, 1, 16), (2, 3, 6, 24), (2, 5, 6, 40), (3, 3, 6, 80),
    (3, 5, 6, 112), (4, 5, 6, 192), (1, 3, 6, 320),
)  # fmt: skip


def published() -> Shapes:
    """Names and sizes of the published file, its classifier included."""
    yield "_conv_stem.weight", (32, 3, 3, 3)
    yield from batch_norm("_bn0", 32)
    inputs, number = 32, 0
    for count, kernel, expand, outputs in STAGES:
        for _ in range(count):
            at, wide = f"_blocks.{number}", inputs * expand
            if expand > 1:
                yield f"{at}._expand_conv.weight", (wide, inputs, 1, 1)
                yield from batch_norm(f"{at}._bn0", wide)
            yield f"{at}._depthwise_conv.weight", (wide, 1, kernel, kernel)
            yield from batch_norm(f"{at}._bn1", wide)
            yield f"{at}._project_conv.weight", (outputs, wide, 1, 1)
            yield from batch_norm(f"{at}._bn2", outputs)
            inputs, number = outputs, number + 1
    yield "_conv_head.weight", (1280, 320, 1, 1)
    yield from batch_norm("_bn1", 1280)
    yield "_fc.weight", (1000, 1280)
    yield "_fc.bias", (1000,)


def converted(folder):
    state = weights(published())
    torch.save(state, folder / "lite.pth")
    for kind in ("segmentation", "classification"):
        convert(kind, folder / "lite.pth", folder / "bundle", report=lambda _line: None)
    return state, folder / "bundle"


def three_channels(state):
    """The published weights in a trunk of colour images."""
    trunk = EfficientNetLite(in_channels=3).eval()
    ours = trunk.state_dict()
    theirs = [t for name, t in state.items() if not name.startswith(("_conv_head", "_bn1.", "_fc"))]
    assert len(ours) == len(theirs)
    trunk.load_state_dict(dict(zip(ours, theirs, strict=True)))
    return trunk


def test_the_trunk_has_the_published_number_of_parameters():
    # 4,652,008 with the head's convolution and the 1000 classes of photographs.
    count = sum(p.numel() for p in EfficientNetLite().parameters())
    assert count == 4_652_008 - 320 * 1280 - 2 * 1280 - 1000 * 1281


def test_two_energies_are_seen_as_the_colours_were(tmp_path):
    state, bundle = converted(tmp_path)
    opened = open_bundle(bundle)
    assert opened.raw["input"]["channels"] == ["low_energy", "recombined"]
    low, recombined = torch.rand(2, 1, 1, 96, 64).unbind()
    reference = three_channels(state)
    with torch.inference_mode():
        wanted = reference(torch.cat([low, recombined, low], dim=1))
        trunk = load_network(opened, "segmentation").trunk
        for got, expected in zip(trunk(torch.cat([low, recombined], 1)), wanted, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
        grey = reference(low.expand(-1, 3, -1, -1))[-1]
        trunk = load_network(opened, "classification").trunk
        torch.testing.assert_close(trunk(low)[-1], grey, rtol=1e-4, atol=1e-4)
    assert [tuple(t.shape[1:]) for t in wanted] == [
        (24, 24, 16), (40, 12, 8), (112, 6, 4), (320, 3, 2),
    ]  # fmt: skip


def test_the_bundle_analyses_and_says_what_is_untrained(tmp_path):
    _, bundle = converted(tmp_path)
    faps = load(bundle, allow_unsigned=True)
    assert faps.size == (384, 216)
    for kind in ("segmentation", "classification"):
        assert "untrained" in faps.card.raw["training"][kind]["source"]
