"""Raw logits of one network of a bundle for arrays from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dicom_node.errors import BundleError
from worker.bundle import SEGMENTATION, Bundle, open_bundle
from worker.faps.ensemble import Classifier, Segmenter
from worker.faps.predictor import ENERGIES
from worker.load import load_network

CHANNELS = 3  # of every input array: the authors' form
COUNTS = {SEGMENTATION: (1,), "classification": (2, 4)}


def forward(path: Path, network: str, inputs: Sequence[Path], out: Path) -> tuple[int, ...]:
    """Write the logits of ``network`` as .npy; their shape.

    Segmentation takes one array (1, 3, H, W), the stack LE, RC, LE, and gives (1, 1, H, W).
    Classification takes le0, rc0 of one view, or le0, rc0, le1, rc1 of two, each (1, 3, S, S), and
    gives (1, 2): benign, malignant. A network of fewer channels or energies takes those it knows.

    Raises
    ------
    BundleError
        When the bundle has no such network, or an input is missing, unreadable or of another shape.
    """
    bundle = open_bundle(path)
    made = load_network(bundle, network)
    if len(inputs) not in COUNTS[network]:
        wanted = " or ".join(map(str, COUNTS[network]))
        raise BundleError(f"{network} takes {wanted} input arrays, not {len(inputs)}")
    arrays = [_array(file) for file in inputs]
    with torch.inference_mode():
        if isinstance(made, Segmenter):
            logits = _segmented(made, bundle, arrays[0])
        else:
            logits = _classified(made, bundle, torch.cat(arrays))
    np.save(out, logits.numpy())
    return tuple(logits.shape)


def _array(path: Path) -> Tensor:
    """One input (1, 3, H, W) float32."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: no array can be read ({error}); give a .npy file") from None
    if array.ndim != 4 or array.shape[:2] != (1, CHANNELS):  # noqa: PLR2004 - the authors' form
        raise BundleError(f"{path}: is {array.shape}; give (1, {CHANNELS}, H, W)")
    return torch.from_numpy(array.astype(np.float32))


def _segmented(network: Segmenter, bundle: Bundle, stack: Tensor) -> Tensor:
    """Logits (1, 1, H, W) of a stack; a network of two channels takes LE, RC."""
    logits = network(stack[:, : bundle.raw[SEGMENTATION]["in_channels"]])
    size = stack.shape[-2:]
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _classified(network: Classifier, bundle: Bundle, arrays: Tensor) -> Tensor:
    """Logits (1, 2) of arrays (2 views, 3, S, S) in the order le0, rc0, le1, rc1."""
    known = bundle.raw["classification"]["energies"]
    images = arrays[:, : network.in_channels]
    views = images.reshape(-1, len(ENERGIES), *images.shape[1:])
    chosen = views[:, [ENERGIES.index(energy) for energy in known]]
    maps = network.pyramid(chosen.flatten(0, 1))
    return network.logits(maps.reshape(-1, len(known), *maps.shape[1:])).mean(dim=0, keepdim=True)
