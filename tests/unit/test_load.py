"""Loading a model bundle, whole or damaged."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from dicom_node.errors import BundleError
from tests.small_bundle import small_bundle
from worker.bundle import default_bundle, verify
from worker.contracts import Frame, PreparedView
from worker.load import load as load_any
from worker.training.bundle import base_card, toml_text, write_bundle

FILES = (
    "card.toml",
    "segmentation.safetensors",
    "classification.safetensors",
    "golden.safetensors",
)


def load(bundle):
    return load_any(bundle, allow_unsigned=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="module")
def shipped():
    return load(default_bundle())


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy")


def resum(bundle):
    """Write checksums anew: what somebody does who edits a bundle on purpose."""
    lines = [f"{hashlib.sha256((bundle / n).read_bytes()).hexdigest()}  {n}\n" for n in FILES]
    (bundle / "SHA256SUMS").write_text("".join(lines))


def test_the_shipped_bundle_loads_and_answers(shipped):
    faps = shipped
    H, W = faps.grid
    frame = Frame((H, W), (H, W), 0, 0, H, W, 1.0, 0.0, 0.0, flipped=False)
    image = np.random.default_rng(0).normal(0, 1, (2, H, W)).astype(np.float32)
    view = PreparedView(image=image, frame=frame)
    probability = faps.segment(view)
    p, (heat,), *_ = faps.classify([(view, probability)])
    assert 0 <= p <= 1
    assert heat.shape == probability.shape == (H, W)
    assert not faps.card.clinical
    assert {"segment", "peak", "min_area_px", "max_area_fraction"} <= set(faps.thresholds)


def test_the_shipped_bundle_is_small_and_says_whose_data_it_saw(shipped):
    assert sum(f.stat().st_size for f in default_bundle().iterdir()) <= 40_000_000
    raw = shipped.card.raw
    assert "CC BY 4.0" in raw["training"]["attribution"]
    assert raw["intended_use"].endswith("Not for diagnosis.")


def test_the_identity_of_a_bundle_changes_with_any_byte_of_its_card(small, copy):
    before = load(small).card.sha256
    text = (copy / "card.toml").read_text()
    (copy / "card.toml").write_text(text.replace("0.1.0", "0.1.1"))
    resum(copy)
    assert load(copy).card.sha256 != before
    assert load(copy).card.version == "0.1.1"


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_is_found_and_named(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} is not what SHA256SUMS says.*install"):
        load(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        verify(copy)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="point to a bundle folder"):
        load(tmp_path)


def test_weights_of_another_architecture_are_refused(copy):
    text = (copy / "card.toml").read_text()
    (copy / "card.toml").write_text(text.replace("features = 4", "features = 8"))
    resum(copy)
    with pytest.raises(BundleError, match=r"segmentation\.safetensors does not fit the card"):
        load(copy)


def test_one_weight_too_few_is_refused(copy):
    state = load_file(copy / "classification.safetensors")
    state.pop("fc.bias")
    save_file(state, copy / "classification.safetensors")
    resum(copy)
    with pytest.raises(BundleError, match=r"classification\.safetensors does not fit"):
        load(copy)


def test_weights_that_compute_something_else_fail_the_golden_pair(copy):
    state = load_file(copy / "segmentation.safetensors")
    state["head.bias"] += 1
    save_file(state, copy / "segmentation.safetensors")
    resum(copy)
    with pytest.raises(BundleError, match=r"probability differs by .* from the golden output"):
        load(copy)


def test_weights_that_are_not_a_number_fail_the_golden_pair(copy):
    state = load_file(copy / "classification.safetensors")
    state["fc.bias"] *= float("nan")
    save_file(state, copy / "classification.safetensors")
    resum(copy)
    with pytest.raises(BundleError, match="logits differs"):
        load(copy)


@pytest.mark.parametrize("line", ["uuid", "version", "statement"])
def test_a_card_without_its_identity_is_refused(copy, line):
    lines = (copy / "card.toml").read_text().splitlines(keepends=True)
    (copy / "card.toml").write_text("".join(x for x in lines if not x.startswith(line)))
    resum(copy)
    with pytest.raises(BundleError, match=rf"card\.toml cannot be read .*{line}"):
        load(copy)


def test_a_card_without_its_input_contract_is_refused(copy):
    text = (copy / "card.toml").read_text().replace("[input.crop]", "[input.cut]")
    (copy / "card.toml").write_text(text)
    resum(copy)
    with pytest.raises(BundleError, match=r"card\.toml lacks or misstates"):
        load(copy)


def test_networks_that_answer_together_are_one_bundle(tmp_path):
    from worker.faps.ensemble import FapsClassifiers, RefineNets
    from worker.faps.refinenet import RefineNet
    from worker.faps.xception_ppm import FapsClassifier

    card = base_card("several", "1")
    card["segmentation"] |= {"width": 4, "features": 4}
    card["classification"] |= {"width": 0.05}
    card["input"] |= {"grid": [64, 64], "size": [32, 32]}
    nets = RefineNets([RefineNet(**card["segmentation"]) for _ in range(2)])
    options = {"width": 0.05, "pyramid": "semseg", "in_channels": 1}
    classifiers = FapsClassifiers([FapsClassifier(**options) for _ in range(3)])
    card["segmentation"]["members"], card["classification"]["members"] = 2, 3
    states = {"segmentation": nets.state_dict(), "classification": classifiers.state_dict()}
    write_bundle(tmp_path, card, states)
    faps = load(tmp_path)
    assert len(faps.segmentation.members) == 2
    assert len(faps.classification.members) == 3
    assert faps.size == (32, 32)


def test_a_card_survives_being_written():
    import tomllib

    card = base_card("a", "1")
    assert tomllib.loads(toml_text(card)) == card
