"""The networks against the papers' arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from worker.faps.refinenet import CRP, RCU, RefineNet
from worker.faps.resnet import ResNet
from worker.faps.xception_ppm import PPM, FapsClassifier, Xception


def parameters(make):
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters())


def seeded(make):
    """A network whose weights follow from a recipe that needs no random generator."""
    network = make().eval()
    with torch.no_grad():
        for number, tensor in enumerate(network.state_dict().values()):
            if tensor.is_floating_point():
                steps = torch.arange(tensor.numel(), dtype=torch.float64)
                wave = torch.sin(steps * 0.7 + number).reshape(tensor.shape)
                fan = max(tensor[0].numel() if tensor.dim() > 1 else 1, 1)
                scaled = wave / fan**0.5 if tensor.dim() > 1 else 1 + 0.1 * wave
                tensor.copy_(scaled.to(tensor.dtype))
    return network


def wave(*shape):
    size = torch.Size(shape).numel()
    return torch.cos(torch.arange(size, dtype=torch.float64) * 0.37).reshape(shape).float()


# faps.md 2.3: counted from published checkpoints.
@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: ResNet(101), 42_500_160),
        (lambda: ResNet(50), 23_508_032),
        (lambda: RefineNet(101), 118_004_289),
        (lambda: RefineNet(101, head="full"), 118_004_289),
        (lambda: RefineNet(50, decoder="light"), 27_311_425),
        (lambda: RefineNet(18, decoder="light", width=32, features=64), 2_989_921),
        (Xception, 20_806_952),
        (FapsClassifier, 69_026_075),
        (lambda: FapsClassifier(width=0.25, pyramid="semseg", in_channels=1), 1_616_836),
    ],
    ids=[
        "r101",
        "r50",
        "refine101",
        "refine101full",
        "lw50",
        "lw18w32",
        "xception",
        "faps",
        "quarter",
    ],
)
def test_parameters_are_exactly_those_of_the_reference(make, count):
    assert parameters(make) == count


def test_resnet_names_are_those_of_published_checkpoints():
    with torch.device("meta"):
        names = set(ResNet(50).state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight"} <= names
    assert {"layer3.5.conv3.weight", "layer4.2.bn3.bias"} <= names
    assert not any(name.startswith("fc") for name in names)


def test_xception_names_are_those_of_published_checkpoints():
    with torch.device("meta"):
        names = set(Xception().state_dict())
    assert {"block1.rep.0.conv1.weight", "block2.rep.1.pointwise.weight"} <= names
    assert {"block12.skipbn.weight", "conv4.pointwise.weight", "bn4.running_mean"} <= names
    assert "block13.skip.weight" not in names


def test_an_rcu_whose_second_convolution_is_zero_is_the_identity():
    rcu = RCU(4)
    nn.init.zeros_(rcu.conv2.weight)
    x = wave(1, 4, 9, 7)
    torch.testing.assert_close(rcu(x), x)


@pytest.mark.parametrize("decoder", ["normal", "light"])
def test_chained_pooling_with_zero_convolutions_is_relu(decoder):
    crp = CRP(3, decoder)
    for conv in crp.convs:
        nn.init.zeros_(conv.weight)
    x = wave(2, 3, 8, 6)
    torch.testing.assert_close(crp(x), torch.relu(x))


def test_the_first_bin_of_the_pyramid_is_the_global_mean():
    ppm = PPM(4, "faps", bottleneck=20).eval()
    ppm.bottleneck = nn.Identity()
    nn.init.dirac_(ppm.stages[0][1].weight)
    x = wave(1, 4, 5, 5)
    means = x.mean(dim=(2, 3), keepdim=True).expand(-1, -1, 5, 5)
    torch.testing.assert_close(ppm(x)[:, :4], means)
    torch.testing.assert_close(ppm(x)[:, -4:], x)  # the map itself comes last


@pytest.mark.parametrize("decoder", ["normal", "light"])
@pytest.mark.parametrize("head", ["quarter", "full"])
def test_the_head_says_at_which_size_it_answers(decoder, head):
    network = RefineNet(18, width=8, features=8, decoder=decoder, head=head, in_channels=2).eval()
    with torch.no_grad():
        logits = network(wave(2, 2, 64, 96))
    assert logits.shape == ((2, 1, 64, 96) if head == "full" else (2, 1, 16, 24))


@pytest.mark.parametrize("decoder", ["normal", "light"])
def test_the_full_head_in_strips_gives_the_same_numbers(decoder):
    make = {"width": 8, "features": 8, "decoder": decoder, "head": "full", "in_channels": 2}
    network = seeded(lambda: RefineNet(18, **make))
    x = wave(1, 2, 320, 64)  # two strips and a half
    with torch.inference_mode():
        strips = network(x)
    whole = network(x).detach()
    assert strips.shape == whole.shape == (1, 1, 320, 64)
    torch.testing.assert_close(strips, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


def test_the_two_heads_are_different_functions_of_the_same_weights():
    make = {"width": 8, "features": 8, "decoder": "light", "in_channels": 2}
    quarter, full = seeded(lambda: RefineNet(18, **make)), RefineNet(18, head="full", **make).eval()
    full.load_state_dict(quarter.state_dict())
    x = wave(1, 2, 64, 64)
    with torch.no_grad():
        enlarged = nn.functional.interpolate(quarter(x), size=(64, 64), mode="bilinear")
        assert float((enlarged - full(x)).abs().max()) > 1e-3


def test_a_two_channel_stem_equals_the_three_channel_one_on_le_rc_le():
    three = seeded(lambda: ResNet(18, width=8))
    two = ResNet(18, width=8, in_channels=2).eval()
    state = three.state_dict()
    stem = state["conv1.weight"]
    state["conv1.weight"] = torch.stack([stem[:, 0] + stem[:, 2], stem[:, 1]], dim=1)
    two.load_state_dict(state)
    low, rec = wave(1, 1, 64, 64), wave(1, 1, 64, 64).flip(-1)
    with torch.no_grad():
        for a, b in zip(
            three(torch.cat([low, rec, low], 1)), two(torch.cat([low, rec], 1)), strict=True
        ):
            assert float((a - b).abs().max()) <= 1e-5 * float(a.abs().max()) + 1e-4


def test_views_are_averaged_so_a_repeated_view_changes_nothing():
    network = seeded(lambda: FapsClassifier(width=0.05, pyramid="semseg", in_channels=1))
    crops = wave(1, 1, 2, 64, 64)
    with torch.no_grad():
        one, two = network(crops), network(crops.expand(-1, 2, -1, -1, -1))
        other = network(torch.cat([crops, crops.flip(-1)], dim=1))
    torch.testing.assert_close(one, two)
    assert float((one - other).abs().max()) > 1e-6


def test_an_energy_that_is_not_there_contributes_nothing():
    network = seeded(lambda: FapsClassifier(width=0.05, pyramid="semseg", in_channels=1))
    crops = wave(1, 2, 64, 64)
    flags = torch.tensor([[0.0, 1.0]])
    with torch.no_grad():
        maps = network.features(crops, flags)
        changed = network.features(torch.stack([crops[:, 0] * 9, crops[:, 1]], 1), flags)
    assert float(maps[:, 0].abs().max()) == 0
    torch.testing.assert_close(maps, changed)
    torch.testing.assert_close(maps[:, 1], network.features(crops)[:, 1])


@pytest.mark.parametrize("pyramid", ["faps", "semseg"])
def test_gradients_reach_every_weight_of_the_classifier(pyramid):
    network = FapsClassifier(width=0.05, pyramid=pyramid, in_channels=1)
    network(wave(2, 2, 2, 64, 64)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


# Outputs of this arithmetic, stored once: a change of any layer moves them by far more than 1e-5.
GOLDEN = {
    "refinenet": [
        -152.582764,
        -1286.68628,
        -2228.13306,
        -2767.9458,
        -6005.33496,
        1176.88452,
        -402.362793,
        586.399109,
        2085.16528,
        8520.16992,
        -7234.31934,
        -3008.17383,
        6.98751068,
        -675.991577,
        124.996582,
        -99.9257278,
    ],
    "light": [
        0.923284829,
        0.607411623,
        0.707682967,
        0.694188714,
        1.15136611,
        1.02541995,
        0.933977664,
        0.894064367,
        1.08668995,
        1.42138946,
        1.20331812,
        1.23276758,
        -3.79315805,
        -11.944478,
        -12.1156111,
        -4.87196827,
    ],
    "classifier": [0.574629605, 1.23808086],
}


def tiny(name):
    if name == "classifier":
        network = seeded(lambda: FapsClassifier(width=0.03, pyramid="faps", in_channels=1))
        return network(wave(1, 2, 2, 64, 64))
    decoder = "light" if name == "light" else "normal"
    network = seeded(lambda: RefineNet(18, width=4, features=4, decoder=decoder, in_channels=2))
    return network(wave(1, 2, 64, 64))[..., ::5, ::5]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_tiny_networks_reproduce_their_stored_outputs(name):
    with torch.no_grad():
        output = tiny(name).double().flatten()
    scale = float(output.abs().max())
    expected = torch.tensor(GOLDEN[name], dtype=torch.float64)
    assert output.shape == expected.shape
    assert float((output - expected).abs().max()) <= 1e-5 * scale


if __name__ == "__main__":  # prints what GOLDEN must hold after an intended change
    with torch.no_grad():
        for key in GOLDEN:
            print(key, [float(f"{v:.9g}") for v in tiny(key).flatten()])  # noqa: T201 - its purpose
