"""Both networks of a bundle trained from a folder of made-up breasts, as ``faps train`` does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dicom_node.errors import BundleError, ConfigurationError
from tests.public_data import write_prepared
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.load import load
from worker.training.bundle import base_card, write_bundle
from worker.training.loop import Watch
from worker.training.order import Order
from worker.training.retrain import retrain


class Quiet(Watch):
    def say(self, text):
        pass


@pytest.fixture
def order(tmp_path):
    """A base of tiny networks, public data, folders."""
    torch.manual_seed(0)
    card = base_card("tiny", "1")
    card["segmentation"] |= {"width": 4, "features": 4}
    card["classification"] |= {"width": 0.05}
    card["input"]["size"] = [128, 72]
    card["input"]["crop"]["size"] = 64
    states = {
        "segmentation": RefineNet(**card["segmentation"]).state_dict(),
        "classification": FapsClassifier(width=0.05, pyramid="semseg", in_channels=1).state_dict(),
    }
    write_bundle(tmp_path / "base", card, states)
    return Order(
        data=write_prepared(tmp_path / "data"),
        out=tmp_path / "out",
        hours=0.0005,
        base=tmp_path / "base",
        cache=tmp_path / "cache",
        phantoms=2,
    )


def test_networks_of_the_folds_end_in_one_bundle_with_figures_of_unseen_patients(order):
    folds = replace(order, folds=2)
    retrain("segmentation", folds, Quiet())
    retrain("classification", replace(folds, base=None), Quiet())
    faps = load(order.out, allow_unsigned=True)
    assert len(faps.segmentation.members) == len(faps.classification.members) == 2
    assert faps.energies == ("recombined",)  # no benign low-energy image exists
    measured = faps.card.raw["measured"]
    assert measured["segmentation"]["cdd_cesm_pairs"]["with_lesion"] == 4
    assert measured["segmentation"]["cdd_cesm_recombined"]["without_lesion"] == 4
    assert len(measured["segmentation"]["cdd_cesm_pairs"]["dice_mean_ci"]) == 2
    assert measured["classification"]["cdd_cesm"]["malignant"] == 2  # breasts
    assert "2 folds" in faps.card.raw["training"]["classification"]["split"]
    assert (folds.kept / "segmentation.fold-1.svg").read_text().startswith("<svg")
    before = load(order.base, allow_unsigned=True).card
    assert faps.card.uuid != before.uuid
    assert not faps.card.signed


def test_networks_of_another_kind_answer_beside_those_of_the_same_folds(order):
    folds = replace(order, folds=2)
    retrain("segmentation", folds, Quiet())
    first = load(order.out, allow_unsigned=True)
    both = replace(
        folds,
        base=_wider(order),
        beside=order.out,
        out=order.out.with_name("both"),
        work=order.out.with_name("second.work"),
    )
    retrain("segmentation", both, Quiet())
    faps = load(both.out, allow_unsigned=True)
    widths = [network.trunk.channels[0] for network in faps.segmentation.members]
    assert widths == [4, 4, 6, 6]
    for old, kept in zip(first.segmentation.members, faps.segmentation.members, strict=False):
        for name, tensor in old.state_dict().items():
            assert torch.equal(tensor, kept.state_dict()[name]), name
    assert faps.card.raw["segmentation"]["beside"] == {
        **base_card("tiny", "1")["segmentation"], "width": 6, "features": 4, "members": 2,
    }  # fmt: skip
    assert faps.card.raw["training"]["segmentation"]["beside"]["folds"] == 2
    assert faps.card.raw["measured"]["segmentation"]["cdd_cesm_pairs"]["with_lesion"] == 4
    # Lesions are then found by both kinds, of those that have not seen the patient.
    retrain("classification", replace(both, base=None, beside=None), Quiet())
    assert len(load(both.out, allow_unsigned=True).classification.members) == 2


LITE = {"backbone": "efficientnet-lite0", "in_channels": 2, "features": 4, "decoder": "light"}
SHORT = {"backbone": "efficientnet-lite0", "in_channels": 1, "pyramid": "semseg", "stages": 5}


def test_a_classifier_begins_with_the_trunk_that_finds_lesions(order):
    card = base_card("lite", "1")
    card["segmentation"], card["classification"] = dict(LITE), {**SHORT, "energies": ["recombined"]}
    card["input"]["size"] = [128, 72]
    card["input"]["crop"]["size"] = 64
    states = {
        "segmentation": RefineNet(**LITE).state_dict(),
        "classification": FapsClassifier(**SHORT, energies=1).state_dict(),
    }
    write_bundle(order.base, card, states)
    folds = replace(order, folds=2)
    retrain("segmentation", folds, Quiet())
    retrain("classification", replace(folds, base=None, from_segmentation=True), Quiet())
    faps = load(order.out, allow_unsigned=True)
    assert "4 stages of it fixed" in faps.card.raw["training"]["classification"]["start"]
    for find, judge in zip(faps.segmentation.members, faps.classification.members, strict=True):
        for block in range(8):
            fixed = judge.trunk.blocks[block].state_dict()
            for name, tensor in find.trunk.blocks[block].state_dict().items():
                assert torch.allclose(tensor, fixed[name], atol=1e-2), (block, name)


def test_a_trunk_of_another_kind_is_refused(order):
    retrain("segmentation", replace(order, folds=2), Quiet())
    with pytest.raises(BundleError, match="must both have the trunk"):
        retrain(
            "classification",
            replace(order, folds=2, base=None, from_segmentation=True),
            Quiet(),
        )


def test_networks_of_other_folds_do_not_answer_beside(order):
    retrain("segmentation", replace(order, folds=2), Quiet())
    other = replace(order, folds=3, beside=order.out, out=order.out.with_name("other"))
    with pytest.raises(BundleError, match="not trained in 3 folds"):
        retrain("segmentation", other, Quiet())
    with pytest.raises(ConfigurationError, match="give --folds"):
        retrain("segmentation", replace(other, folds=0), Quiet())


def test_a_third_kind_is_refused(order):
    retrain("segmentation", replace(order, folds=2), Quiet())
    both = replace(order, folds=2, beside=order.out, out=order.out.with_name("both"))
    both = replace(both, work=order.out.with_name("second.work"))
    retrain("segmentation", both, Quiet())
    with pytest.raises(ConfigurationError, match="two kinds"):
        retrain("segmentation", replace(both, beside=both.out), Quiet())


def _wider(order):
    """A base of another architecture."""
    card = base_card("wider", "1")
    card["segmentation"] |= {"width": 6, "features": 4}
    card["input"]["size"] = [128, 72]
    card["classification"] |= {"width": 0.05}
    states = {
        "segmentation": RefineNet(**card["segmentation"]).state_dict(),
        "classification": FapsClassifier(width=0.05, pyramid="semseg", in_channels=1).state_dict(),
    }
    write_bundle(order.out.with_name("wider"), card, states)
    return order.out.with_name("wider")


def test_a_run_that_is_over_is_not_run_again(order):
    retrain("segmentation", order, Quiet())
    first = (order.out / "segmentation.safetensors").read_bytes()
    retrain("segmentation", order, Quiet())
    assert (order.out / "segmentation.safetensors").read_bytes() == first


def test_a_classifier_is_not_trained_before_its_finder(order):
    with pytest.raises(BundleError, match="train the segmentation first"):
        retrain("classification", order, Quiet())


def test_folds_on_top_of_weights_that_have_seen_them_are_refused(order):
    retrain("segmentation", order, Quiet())
    again = replace(order, base=order.out, warm=True, folds=3)
    with pytest.raises(BundleError, match="has seen the patients"):
        retrain("segmentation", again, Quiet())


def test_several_networks_are_no_start_for_one(order):
    several = replace(order, folds=2)
    retrain("segmentation", several, Quiet())
    warm = replace(order, base=order.out, out=order.out.with_name("warm"), warm=True)
    with pytest.raises(BundleError, match="several networks answer together"):
        retrain("segmentation", warm, Quiet())


def test_phantoms_alone_train_a_bundle_of_both_energies(order):
    phantoms = replace(order, data=None)
    retrain("segmentation", phantoms, Quiet())
    retrain("classification", replace(phantoms, base=None), Quiet())
    faps = load(order.out, allow_unsigned=True)
    assert faps.energies == ("low_energy", "recombined")
    assert "phantoms alone" in faps.card.statement
