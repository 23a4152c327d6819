"""Published checkpoints become bundles that compute the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_node.errors import BundleError
from tests.authors_networks import (
    authors_classifier,
    authors_inputs,
    authors_refinenet,
    batch_norm,
    resnet_stages,
    weights,
    xception,
)
from worker.bundle import open_bundle
from worker.forward import forward
from worker.load import load, load_network
from worker.training.convert import convert

OUTPUTS = json.loads((Path(__file__).parents[2] / "authors_outputs.json").read_text())
SMALL = {
    "segmentation": lambda: authors_refinenet((3, 4, 6, 3), width=4, features=8),
    "classification": lambda: authors_classifier(width=0.25),
}


def silent(_line: str) -> None:
    pass


def save(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, path)
    return path


def written(folder: Path, arrays: list[np.ndarray]) -> list[Path]:
    paths = [folder / f"input{number}.npy" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths


def small(folder: Path, kind: str, out: Path) -> Path:
    convert(kind, save(folder / f"{kind}.pth", weights(SMALL[kind]())), out, report=silent)
    return out


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [("segmentation", authors_refinenet), ("classification", authors_classifier)],
)
def test_the_authors_networks_give_the_authors_outputs(tmp_path, kind, shapes):
    checkpoint = save(tmp_path / "authors.pth", weights(shapes()))
    convert(kind, checkpoint, tmp_path / "bundle", report=silent)
    checkpoint.unlink()
    inputs = written(tmp_path, authors_inputs(kind))
    shape = forward(tmp_path / "bundle", kind, inputs, tmp_path / "out.npy")
    assert shape == ((1, 1, 128, 64) if kind == "segmentation" else (1, 2))
    output = np.load(tmp_path / "out.npy").astype(np.float64).ravel()
    golden = OUTPUTS[kind]
    chosen = output[np.linspace(0, output.size - 1, len(golden["samples"])).astype(int)]
    assert np.abs(chosen - golden["samples"]).max() < 1e-4 * golden["std"]
    assert abs(output.mean() - golden["mean"]) < 1e-4 * golden["std"]


def test_both_networks_share_a_bundle_and_analyse(tmp_path):
    bundle = small(tmp_path, "segmentation", tmp_path / "bundle")
    small(tmp_path, "classification", bundle)
    faps = load(bundle, allow_unsigned=True)
    assert faps.channels == ("low_energy", "recombined", "low_energy")
    assert faps.grid == (1024, 512)
    assert faps.crop.size == 512
    assert faps.card.raw["segmentation"]["head"] == "full"
    digest = hashlib.sha256((tmp_path / "segmentation.pth").read_bytes()).hexdigest()
    assert faps.card.raw["training"]["segmentation"]["sha256"] == digest


def test_a_bundle_with_one_network_says_which_one_is_lacking(tmp_path):
    bundle = small(tmp_path, "segmentation", tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"no classification network.*faps convert"):
        load(bundle, allow_unsigned=True)
    with pytest.raises(BundleError, match="no classification network"):
        load_network(open_bundle(bundle), "classification")


def test_names_of_parallel_training_are_understood(tmp_path):
    state = weights(SMALL["segmentation"]())
    plain = small(tmp_path, "segmentation", tmp_path / "plain")
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": t for k, t in state.items()}}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    convert("segmentation", tmp_path / "wrapped.pth", tmp_path / "wrapped", report=silent)
    content = [
        (path / "segmentation.safetensors").read_bytes() for path in (plain, tmp_path / "wrapped")
    ]
    assert content[0] == content[1]


def resnet50():
    yield "conv1.weight", (64, 3, 7, 7)
    yield from batch_norm("bn1", 64)
    yield from resnet_stages("", "layer1", (3, 4, 6, 3), 64)
    yield "fc.weight", (1000, 2048)
    yield "fc.bias", (1000,)


def test_a_resnet_backbone_gets_an_untrained_decoder(tmp_path):
    state = weights(resnet50())
    path = save(tmp_path / "resnet50.pth", state)
    convert("segmentation", path, tmp_path / "bundle", report=silent)
    opened = open_bundle(tmp_path / "bundle")
    network = load_network(opened, "segmentation")
    assert opened.raw["segmentation"]["depth"] == 50
    assert opened.raw["segmentation"]["decoder"] == "light"
    torch.testing.assert_close(network.trunk.layer3[5].conv2.weight, state["layer3.5.conv2.weight"])
    assert "untrained" in opened.raw["training"]["segmentation"]["source"]
    assert (
        sum(p.numel() for p in network.parameters()) == 27_311_425 - 64 * 49
    )  # one channel less in the stem


def test_an_old_xception_file_with_flat_pointwise_weights_is_read(tmp_path):
    state = weights(xception("", 0.25))
    flat = {k: t[:, :, 0, 0] if ".pointwise." in k else t for k, t in state.items()}
    flat = {k: t for k, t in flat.items() if not k.endswith("num_batches_tracked")}
    flat["last_linear.weight"] = torch.zeros(1000, 512)
    convert("classification", save(tmp_path / "x.pth", flat), tmp_path / "bundle", report=silent)
    network = load_network(open_bundle(tmp_path / "bundle"), "classification")
    name = "block4.rep.1.pointwise.weight"
    torch.testing.assert_close(network.trunk.state_dict()[name], state[name])


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_a_missing_and_a_misshapen_tensor_are_named(tmp_path, kind):
    state = weights(SMALL[kind]())
    name = "net.layer3.2.bn1.bias" if kind == "segmentation" else "net.bn4.bias"
    without = {k: t for k, t in state.items() if k != name}
    with pytest.raises(BundleError, match="lacks trunk"):
        convert(kind, save(tmp_path / "a.pth", without), tmp_path / "o", report=silent)
    wrong = {**state, name: torch.zeros(3)}
    with pytest.raises(BundleError, match=r"is \(3,\), the network takes"):
        convert(kind, save(tmp_path / "b.pth", wrong), tmp_path / "o", report=silent)
    with pytest.raises(BundleError, match="belongs to no part"):
        convert(kind, save(tmp_path / "c.pth", {**state, "odd": torch.zeros(1)}), tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_checkpoint_of_something_else_is_refused_with_what_is_known(tmp_path):
    path = save(tmp_path / "a.pth", {"encoder.weight": torch.zeros(3)})
    with pytest.raises(BundleError, match=r"encoder\.weight.*torchvision"):
        convert("segmentation", path, tmp_path / "o")


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_file_that_would_execute_code_is_refused(tmp_path, capsys):
    torch.save({"net.layer1_rn.weight": Harmful()}, tmp_path / "a.pth")
    with pytest.raises(BundleError, match="more than tensors"):
        convert("segmentation", tmp_path / "a.pth", tmp_path / "o")
    assert "executed" not in capsys.readouterr().out


def test_a_file_whose_name_promises_another_hash_is_refused(tmp_path):
    path = save(tmp_path / "resnet50-0676ba61.pth", {"conv1.weight": torch.zeros(1)})
    with pytest.raises(BundleError, match=r"its name says 0676ba61.*get it again"):
        convert("segmentation", path, tmp_path / "o")


def test_inputs_of_another_shape_are_refused(tmp_path):
    bundle = small(tmp_path, "classification", tmp_path / "bundle")
    arrays = written(tmp_path, [np.zeros((1, 2, 8, 8), np.float32)] * 2)
    with pytest.raises(BundleError, match=r"give \(1, 3, H, W\)"):
        forward(bundle, "classification", arrays, tmp_path / "o.npy")
    with pytest.raises(BundleError, match="takes 2 or 4 input arrays, not 1"):
        forward(bundle, "classification", arrays[:1], tmp_path / "o.npy")
