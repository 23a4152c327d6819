"""Both networks of a bundle trained from a folder of made-up breasts, as ``faps train`` does."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from dicom_node.errors import BundleError, ConfigurationError
from tests.public_data import write_prepared
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.load import load
from worker.training import synthetic
from worker.training.bundle import base_card, write_bundle
from worker.training.loop import Watch
from worker.training.order import Order
from worker.training.retrain import retrain


class Quiet(Watch):
    def say(self, text):
        pass


HOURS = 0.0005  # of the whole, whatever the number of networks


def tiny_base(folder, name="tiny", width=4):
    """A bundle of tiny networks that nobody has trained."""
    torch.manual_seed(0)
    card = base_card(name, "1")
    card["segmentation"] |= {"width": width, "features": 4}
    card["classification"] |= {"width": 0.05}
    card["input"]["size"] = [128, 72]
    card["input"]["crop"]["size"] = 64
    states = {
        "segmentation": RefineNet(**card["segmentation"]).state_dict(),
        "classification": FapsClassifier(width=0.05, pyramid="semseg", in_channels=1).state_dict(),
    }
    write_bundle(folder, card, states)
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What every training here is given: a base, public data, and room for made phantoms."""
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        # Phantoms of a quarter of the pixels: nobody looks at what is learnt from them.
        patch.setattr(synthetic, "ROWS", synthetic.ROWS // 2)
        patch.setattr(synthetic, "COLUMNS", synthetic.COLUMNS // 2)
        patch.setattr(synthetic, "SPACING_MM", synthetic.SPACING_MM * 2)
        yield Order(
            data=write_prepared(folder / "data"),
            out=folder / "out",
            hours=HOURS,
            base=tiny_base(folder / "base"),
            cache=folder / "cache",
            phantoms=2,
        )


@pytest.fixture(scope="module")
def of_two_folds(given):
    """Segmentation networks of two folds, trained once; their order."""
    folds = replace(given, folds=2, out=given.out.with_name("folds"))
    retrain("segmentation", folds, Quiet())
    return folds


@pytest.fixture
def order(given, tmp_path):
    """Nothing trained yet."""
    return replace(given, out=tmp_path / "out")


@pytest.fixture
def folds(of_two_folds, tmp_path):
    """The order of the trained two folds, everything that they left behind copied."""
    copied = replace(of_two_folds, out=tmp_path / "out")
    shutil.copytree(of_two_folds.out, copied.out)
    shutil.copytree(of_two_folds.kept, copied.kept)
    return copied


def test_networks_of_the_folds_end_in_one_bundle_with_figures_of_unseen_patients(folds):
    retrain("classification", replace(folds, base=None), Quiet())
    faps = load(folds.out, allow_unsigned=True)
    assert len(faps.segmentation.members) == len(faps.classification.members) == 2
    assert faps.energies == ("recombined",)  # no benign low-energy image exists
    measured = faps.card.raw["measured"]
    assert measured["segmentation"]["cdd_cesm_pairs"]["with_lesion"] == 4
    assert measured["segmentation"]["cdd_cesm_recombined"]["without_lesion"] == 4
    assert len(measured["segmentation"]["cdd_cesm_pairs"]["dice_mean_ci"]) == 2
    assert measured["classification"]["cdd_cesm"]["malignant"] == 2  # breasts
    assert "2 folds" in faps.card.raw["training"]["classification"]["split"]
    assert (folds.kept / "segmentation.fold-1.svg").read_text().startswith("<svg")
    before = load(folds.base, allow_unsigned=True).card
    assert faps.card.uuid != before.uuid
    assert not faps.card.signed


def test_networks_of_another_kind_answer_beside_those_of_the_same_folds(folds):
    first = load(folds.out, allow_unsigned=True)
    both = replace(
        folds,
        base=tiny_base(folds.out.with_name("wider"), "wider", width=6),
        beside=folds.out,
        out=folds.out.with_name("both"),
        work=folds.out.with_name("second.work"),
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
    lite = order.out.with_name("lite")
    write_bundle(lite, card, states)
    folds = replace(order, folds=2, base=lite)
    retrain("segmentation", folds, Quiet())
    retrain("classification", replace(folds, base=None, from_segmentation=True), Quiet())
    faps = load(order.out, allow_unsigned=True)
    assert "4 stages of it fixed" in faps.card.raw["training"]["classification"]["start"]
    for find, judge in zip(faps.segmentation.members, faps.classification.members, strict=True):
        for block in range(8):
            fixed = judge.trunk.blocks[block].state_dict()
            for name, tensor in find.trunk.blocks[block].state_dict().items():
                assert torch.allclose(tensor, fixed[name], atol=1e-2), (block, name)


def test_a_trunk_of_another_kind_is_refused(folds):
    with pytest.raises(BundleError, match="must both have the trunk"):
        retrain(
            "classification",
            replace(folds, base=None, from_segmentation=True),
            Quiet(),
        )


def test_networks_of_other_folds_do_not_answer_beside(folds):
    other = replace(folds, folds=3, beside=folds.out, out=folds.out.with_name("other"))
    with pytest.raises(BundleError, match="not trained in 3 folds"):
        retrain("segmentation", other, Quiet())
    with pytest.raises(ConfigurationError, match="give --folds"):
        retrain("segmentation", replace(other, folds=0), Quiet())


def test_a_third_kind_is_refused(folds):
    both = replace(
        folds,
        beside=folds.out,
        out=folds.out.with_name("both"),
        work=folds.out.with_name("second.work"),
    )
    retrain("segmentation", both, Quiet())
    with pytest.raises(ConfigurationError, match="two kinds"):
        retrain("segmentation", replace(both, beside=both.out), Quiet())


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


def test_several_networks_are_no_start_for_one(folds):
    warm = replace(folds, folds=0, base=folds.out, out=folds.out.with_name("warm"), warm=True)
    with pytest.raises(BundleError, match="several networks answer together"):
        retrain("segmentation", warm, Quiet())


def test_phantoms_alone_train_a_bundle_of_both_energies(order):
    phantoms = replace(order, data=None)
    retrain("segmentation", phantoms, Quiet())
    retrain("classification", replace(phantoms, base=None), Quiet())
    faps = load(order.out, allow_unsigned=True)
    assert faps.energies == ("low_energy", "recombined")
    assert "phantoms alone" in faps.card.statement
