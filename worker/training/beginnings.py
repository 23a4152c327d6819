"""What the training of each part starts from, and what is kept of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from dicom_node.errors import BundleError
from worker.bundle import CLASSIFICATION, SEGMENTATION
from worker.evaluation.plots import loss_plot
from worker.faps.efficientnet import EfficientNetLite
from worker.faps.ensemble import RefineNets, Segmenter
from worker.faps.predictor import ENERGIES, Faps
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.training.datasets import views
from worker.training.folds import Part
from worker.training.hardware import find_hardware
from worker.training.loop import Schedule
from worker.training.order import Order
from worker.training.public import sample_of
from worker.training.sample import Sample
from worker.training.synthetic import lesions, phantoms

Kind = Literal["segmentation", "classification"]
Network = TypeVar("Network", bound=nn.Module)
REGISTERED_WEIGHT = 8
FIXED_STAGES = 4  # of a trunk that comes from the segmentation
# Learning rates: from nothing, and from weights that have learnt something already.
RATES = {SEGMENTATION: (2e-3, 1e-3), CLASSIFICATION: (1.5e-3, 5e-4)}
_OF_THE_BUNDLE = {"members", "beside", "energies"}  # entries of a card that are no architecture


def schedule_of(order: Order, kind: Kind, average: float = 0.995) -> Schedule:
    """Each part's share of the time."""
    rate = RATES[kind][order.warm]
    hours = order.hours / len(order.parts)
    return Schedule(hours=hours, rate=rate, average=average, seed=order.seed)


def weighted(samples: Sequence[Sample]) -> list[Sample]:
    """The few pairs in published size are registered, as a hospital's are: each counts as many."""
    registered = [sample for sample in samples if sample.domain == "fullres"]
    return [*samples, *((REGISTERED_WEIGHT - 1) * registered)]


def synthetic(order: Order, *, more_lesions: bool = False) -> list[Sample]:
    """Phantoms to learn from beside the data; none where the data are phantoms themselves."""
    if order.data is not None and order.synthetic:
        return []
    more = lesions(order.lesion_seeds, order.cache) if more_lesions else ()
    return [*phantoms(order.training_seeds, order.cache), *more]


def public_samples(data: Path | None) -> list[Sample]:
    """Every public view with a breast in it; none without a folder."""
    if data is None:
        return []
    return [sample for view in views(data) if (sample := sample_of(view)) is not None]


def refinenet(model: Faps, order: Order) -> RefineNet:
    """A network of the model's architecture to train: with its weights, or with none."""
    if order.warm:
        start = copy.deepcopy(_alone(model, model.segmentation, RefineNet))
        return start.requires_grad_(requires_grad=True)
    torch.manual_seed(order.seed)
    return RefineNet(**architecture(model, SEGMENTATION))


def classifier(model: Faps, energies: int, order: Order, find: Segmenter) -> FapsClassifier:
    """A classifier to train: with the model's weights where they fit, or with none.

    ``find`` gives its trunk where the order says so. The first stages then stay as they are: they
    have learnt from every pixel, where the classifier has a few hundred labels.

    Raises
    ------
    BundleError
        When the trunks are not of one kind.
    """
    torch.manual_seed(order.seed)
    network = FapsClassifier(energies=energies, **architecture(model, CLASSIFICATION))
    if order.warm:
        start = _alone(model, model.classification, FapsClassifier).state_dict()
        fits = energies == len(model.energies)
        base = {k: v for k, v in start.items() if fits or not k.startswith("fc.")}
        network.load_state_dict(base, strict=False)
    if order.from_segmentation:
        _take_trunk(network, find.networks[0] if isinstance(find, RefineNets) else find)
    return network


def _take_trunk(network: FapsClassifier, find: nn.Module) -> None:
    """Give ``network`` the trunk of ``find``, of whose stem only what sees recombined images."""
    trunk = getattr(find, "trunk", None)
    if not (isinstance(trunk, EfficientNetLite) and isinstance(network.trunk, EfficientNetLite)):
        raise BundleError(
            "--from-segmentation: segmentation and classification must both have the trunk "
            "efficientnet-lite0; name another base, or leave the option out"
        )
    names = network.trunk.state_dict().keys()
    state = {name: tensor for name, tensor in trunk.state_dict().items() if name in names}
    recombined = ENERGIES.index("recombined")
    stem = state["stem.0.weight"][:, recombined : recombined + 1]
    state["stem.0.weight"] = stem.expand(-1, network.in_channels, -1, -1) / network.in_channels
    network.trunk.load_state_dict(state)
    network.trunk.fix(FIXED_STAGES)


def architecture(faps: Faps, kind: Kind) -> dict[str, Any]:
    """What the card says of one network: what its class is made with."""
    return {k: v for k, v in faps.card.raw[kind].items() if k not in _OF_THE_BUNDLE}


def _alone(model: Faps, network: nn.Module, kind: type[Network]) -> Network:
    """The base's network, of which there must be one."""
    if isinstance(network, kind):
        return network
    raise BundleError(
        f"bundle {model.card.name}: several networks answer together in it; training can go on "
        "from one alone, start from nothing"
    )


def unseeing(faps: Faps, order: Order, part: Part) -> list[RefineNet]:
    """The bundle's segmentation networks that have not seen those whom a fold tests.

    Raises
    ------
    BundleError
        When the bundle was not trained in the same folds.
    """
    folds = faps.card.raw["training"].get(SEGMENTATION, {}).get("folds", 0)
    if part.fold is None or folds != order.folds or not isinstance(faps.segmentation, RefineNets):
        raise BundleError(
            f"bundle {faps.card.name} {faps.card.version}: its segmentation was not trained in "
            f"{order.folds} folds; train the segmentation first, with the same folds"
        )
    return faps.segmentation.networks[part.fold :: folds]


def finder(old: Faps, order: Order, part: Part) -> Segmenter:
    """What finds lesions for a part's classifier: networks that have not seen its patients."""
    if order.data is None:
        return old.segmentation
    if order.folds:
        return RefineNets(unseeing(old, order, part))
    kept = order.weights_of(SEGMENTATION, part)
    if not kept.exists():
        raise BundleError(
            f"{kept}: is missing; train the segmentation first, with the same folds and work folder"
        )
    network = RefineNet(**architecture(old, SEGMENTATION))
    network.load_state_dict(torch.load(kept, weights_only=True))
    return network.eval()


def keep(network: nn.Module, kind: str, order: Order, part: Part) -> None:
    """Weights for the other kind's training, and a plot of the losses."""
    if not find_hardware().leads:
        return
    torch.save(network.state_dict(), order.weights_of(kind, part))
    losses = torch.load(order.state_of(kind, part), weights_only=True)["losses"]
    order.plot_of(kind, part).write_text(loss_plot(losses), encoding="utf-8")
