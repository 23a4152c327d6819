"""A bundle from a published checkpoint."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dicom_node.domain.identifiers import derive_id
from dicom_node.errors import BundleError
from worker.bundle import CARD, NETWORKS, SEGMENTATION, open_bundle, weights_of
from worker.load import network_of
from worker.storage import read
from worker.training.bundle import base_card, write_bundle
from worker.training.foreign import (
    EFFICIENTNET_LITE,
    Kind,
    Source,
    State,
    checked,
    recognise,
    renamed,
    resnet_depth,
)

# Sizes of the authors' inputs (faps.md §1.2): portrait views, square crops.
AUTHORS_GRID, AUTHORS_CROP = [1024, 512], 512
DROPOUT = 0.3  # before the linear layer, while a backbone learns from few images
THREE_CHANNELS = ["low_energy", "recombined", "low_energy"]
# Published files carry the start of their own SHA-256 in their name: resnet101-63fe2227.pth.
NAMED_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth$")


def convert(
    kind: Kind,
    checkpoint: Path,
    out: Path,
    *,
    decoder: str = "light",
    head: str = "quarter",
    report: Callable[[str], None] = print,
) -> None:
    """Write ``out`` with the network of ``checkpoint``; a network of the other kind stays in it.

    A backbone gets a fresh, untrained rest: a RefineNet ``decoder`` ("normal" or "light") with
    ``head`` ("quarter" or "full"), or a pyramid; train it with ``faps train --base``.

    Raises
    ------
    BundleError
        When the file is not what its name says, holds more than tensors, or is of no network that
        is known, with the first name or size that differs.
    """
    digest = _hash(checkpoint)
    source, state = _read(checkpoint, kind)
    if not source.complete:
        state = _narrowed(state, kind)
    options = _options(kind, source, state, decoder=decoder, head=head)
    expected = network_of(kind, {kind: options}).state_dict()
    state = checked(state, expected, complete=source.complete)
    complete = _completed(kind, options, state)
    card, states = _beside(out, kind, checkpoint.stem)
    states[kind] = complete
    card[kind] = options
    _describe(card, kind, source, checkpoint.name, digest)
    write_bundle(out, card, {name: states[name] for name in NETWORKS if name in states}, exact=True)
    parameters = sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
    report(f"{checkpoint.name}: {source.name}, {parameters:,} numbers, SHA-256 {digest}")
    report(f"{out}: {kind} network written; every name and size fits")


def _hash(checkpoint: Path) -> str:
    """SHA-256 of the file, which must be the one its name may promise."""
    if not checkpoint.is_file():
        raise BundleError(f"{checkpoint}: there is no such file; name a checkpoint")
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    promised = NAMED_HASH.search(checkpoint.name)
    if promised and not digest.startswith(promised[1]):
        raise BundleError(
            f"{checkpoint}: its SHA-256 begins with {digest[: len(promised[1])]}, its name says "
            f"{promised[1]}; it is damaged or another file, get it again"
        )
    return digest


def _read(checkpoint: Path, kind: Kind) -> tuple[Source, State]:
    """The checkpoint's tensors under our names; nothing in the file is executed."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(
            f"{checkpoint}: holds more than tensors, or is damaged ({first}); save the network's "
            "state_dict alone"
        ) from None
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise BundleError(f"{checkpoint}: is no state_dict; save the network's state_dict alone")
    state = {name.removeprefix("module."): tensor for name, tensor in content.items()}
    source = recognise(state, kind)
    return source, renamed(state, source)


STEMS = ("trunk.conv1.weight", "trunk.stem.0.weight")


def _stem(state: State) -> str:
    """Name of the trunk's first convolution."""
    for name in STEMS:
        if name in state:
            return name
    raise BundleError(f"the checkpoint lacks {STEMS[0]}")


def _narrowed(state: State, kind: Kind) -> State:
    """A backbone of colour images with a stem for ours: the same function, less to compute.

    A view given as low_energy, recombined, low_energy needs the sums of the first and third
    weights; a grey crop given three times needs the sum of all (faps.md §2.5).
    """
    name = _stem(state)
    stem = state[name]
    if stem.shape[1] != len(THREE_CHANNELS):
        return state
    if kind == SEGMENTATION:
        return {**state, name: torch.stack([stem[:, 0] + stem[:, 2], stem[:, 1]], dim=1)}
    return {**state, name: stem.sum(dim=1, keepdim=True)}


def _options(
    kind: Kind, source: Source, state: State, *, decoder: str, head: str
) -> dict[str, Any]:
    """The card's table for the network of ``state``, sizes read off its tensors."""
    stem = state[_stem(state)]
    options: dict[str, Any] = {"in_channels": int(stem.shape[1])}
    lite = source is EFFICIENTNET_LITE
    if lite:
        options["backbone"] = "efficientnet-lite0"
    if kind != SEGMENTATION:
        options |= {"dropout": DROPOUT} if lite else {"width": int(stem.shape[0]) / 32}
        pyramid = "faps" if source.complete else "semseg"
        return {**options, "pyramid": pyramid, "energies": ["low_energy", "recombined"]}
    adapter = state.get("decoder.adapters.0.weight")
    features = 64 if lite else 256
    if not lite:
        options |= {"depth": resnet_depth(state), "width": int(stem.shape[0])}
    return {
        **options,
        "features": features if adapter is None else int(adapter.shape[0]),
        "decoder": "normal" if source.complete else decoder,
        "head": "full" if source.complete else head,
    }


def _completed(kind: Kind, options: dict[str, Any], state: State) -> State:
    """``state`` with what a checkpoint leaves open: a backbone's rest, old files' counters."""
    torch.manual_seed(0)
    fresh = network_of(kind, {kind: options}).to_empty(device="cpu")
    for module in fresh.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    return {**fresh.state_dict(), **state}


def _beside(out: Path, kind: Kind, name: str) -> tuple[dict[str, Any], dict[str, State]]:
    """Card and networks of the bundle that is already in ``out``, or a new card."""
    if (out / CARD).exists():
        bundle = open_bundle(out)
        others = [network for network in bundle.networks if network != kind]
        return dict(bundle.raw), {other: read(out / weights_of(other)) for other in others}
    card = base_card(name, "0.0.0")
    for network in NETWORKS:
        del card[network]
    card["training"] = {}
    return card, {}


def _describe(card: dict[str, Any], kind: Kind, source: Source, file: str, digest: str) -> None:
    """What is known of the network, and what is not."""
    contract = card["input"]
    if kind == SEGMENTATION:
        if card[kind]["in_channels"] == len(THREE_CHANNELS):
            contract["channels"] = THREE_CHANNELS
        if source.complete:
            contract["grid"] = contract["size"] = AUTHORS_GRID
    elif source.complete:
        contract["crop"] = {**contract["crop"], "size": AUTHORS_CROP}
    rest = "" if source.complete else "; everything after the backbone is untrained"
    card["training"][kind] = {"checkpoint": file, "sha256": digest, "source": source.name + rest}
    families = {
        network: card["training"][network]["source"] for network in NETWORKS if network in card
    }
    card["family"] = " + ".join(families.values())
    card["statement"] = (
        "Converted from checkpoints whose training, normalisation and thresholds are not recorded "
        "in them; not measured here, not clinically validated."
    )
    card["measured"] = {}
    card["uuid"] = derive_id("bundle", card["name"], kind, digest)
