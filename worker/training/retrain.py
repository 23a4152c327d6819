"""A new bundle from an old one, one of its networks trained anew."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from dicom_node.domain.identifiers import derive_id
from dicom_node.errors import BundleError, ConfigurationError
from worker.bundle import CLASSIFICATION, NETWORKS, SEGMENTATION, default_bundle
from worker.faps.predictor import Faps
from worker.load import load
from worker.training.beginnings import FIXED_STAGES, Kind, architecture, unseeing
from worker.training.bundle import CDD_CESM, write_bundle
from worker.training.hardware import find_hardware
from worker.training.loop import Silent, Watch
from worker.training.order import Order
from worker.training.rounds import classification_round, segmentation_round

State = dict[str, Tensor]


def retrain(kind: Kind, order: Order, watch: Watch | None = None) -> None:
    """Train ``kind`` and write the bundle ``order.out``; the other network comes from its base.

    Thresholds or calibration are fixed on patients that the network asked had not seen, figures are
    measured on such and written into the card.

    Raises
    ------
    BundleError
        When folds are asked for on top of weights that have seen their patients.
    ConfigurationError
        When networks shall answer beside others without folds, or classifiers.
    """
    leads = find_hardware().leads
    watch = (watch or Watch()) if leads else Silent()
    start = order.base or (order.out if order.out.exists() else default_bundle())
    model = load(start, allow_unsigned=True)
    if order.warm and order.folds and "CDD-CESM" in str(model.card.raw["training"].get(kind, "")):
        raise BundleError(
            f"bundle {start}: its {kind} network has seen the patients that the folds would hold "
            "out; train from nothing, or without folds"
        )
    old = model if order.beside is None else _partner(kind, order)
    card = copy.deepcopy(dict(old.card.raw))
    states = {SEGMENTATION: old.segmentation.state_dict()}
    states[CLASSIFICATION] = old.classification.state_dict()
    familiar = old.familiar
    order.kept.mkdir(parents=True, exist_ok=True)
    if kind == SEGMENTATION:
        states[kind] = segmentation_round(card, old, model, order, watch)
    else:
        states[kind], familiar = classification_round(card, old, order, watch)
    if not leads:
        return
    _describe(card, kind, model, order)
    write_bundle(order.out, card, {name: states[name] for name in NETWORKS}, familiar=familiar)


def _partner(kind: Kind, order: Order) -> Faps:
    """The bundle whose segmentation networks shall answer together with the new ones."""
    if order.beside is None or kind != SEGMENTATION or not order.folds:
        raise ConfigurationError(
            "--beside is for segmentation networks of several folds; give --folds, as they had"
        )
    partner = load(order.beside, allow_unsigned=True)
    if "beside" in partner.card.raw[SEGMENTATION]:
        raise ConfigurationError(
            f"bundle {order.beside}: two kinds of networks answer together in it already; "
            "name one of a single kind"
        )
    for part in order.parts:
        unseeing(partner, order, part)  # before hours are spent
    return partner


def _describe(card: dict[str, Any], kind: Kind, model: Faps, order: Order) -> None:
    """Say in ``card`` what ``kind`` is and was trained on, under a new identity."""
    members = {"members": order.folds} if order.data and order.folds else {}
    options = {**architecture(model, kind), **members}
    if order.beside:
        card[kind]["beside"] = options
        card["family"] += f", beside it {model.card.family}"
    else:
        energies = card[kind].get("energies")
        card[kind] = options if energies is None else {**options, "energies": energies}
    training = _training(card, kind, order)
    if order.beside:
        card["training"][kind]["beside"] = training
    else:
        card["training"][kind] = training
    card["training"]["attribution"] = CDD_CESM
    card["statement"] = f"Trained on {training['data']}; not clinically validated."
    identity = (kind, str(order.seed), str(order.hours), str(order.folds), str(bool(order.beside)))
    card["uuid"] = derive_id("bundle", card["name"], card["version"], *identity)


def _training(card: dict[str, Any], kind: Kind, order: Order) -> dict[str, Any]:
    """On what, from what, how long."""
    source = "physics phantoms alone" if order.synthetic else "CDD-CESM and physics phantoms"
    before = card["training"].get(kind, {})
    warm = "the weights of the bundle before"
    if "checkpoint" in before:
        warm = f"{before['checkpoint']}, SHA-256 {before['sha256']}: {before['source']}"
    return {
        "data": source,
        "start": _start(warm, kind, order),
        "hours": order.hours,
        "seed": order.seed,
        "folds": order.folds,
        "phantom_seeds": [order.training_seeds.start, order.training_seeds.stop],
        "split": f"by patient, CRC-32 of the name: {_scheme(order.folds)}",
    }


def _start(warm: str, kind: Kind, order: Order) -> str:
    if kind == CLASSIFICATION and order.from_segmentation:
        return f"trunk of its fold's segmentation, {FIXED_STAGES} stages of it fixed"
    return warm if order.warm else "nothing"


def _scheme(folds: int) -> str:
    if folds:
        return (
            f"{folds} folds; figures and operating points are of each network alone on the fold "
            "that it has not seen, in this bundle they answer together"
        )
    return (
        "two tenths held out; figures and operating points are of a network trained alike that had "
        "not seen them, the one in this bundle has seen everybody"
    )
