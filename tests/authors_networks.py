"""Checkpoints as the FAPS authors and others publish them: their names, their sizes.

Weights follow from each tensor's name and size alone, so an output is a number that can be stored.
The authors' own code gave the outputs in ``authors_outputs.json`` from these very weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import torch

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def weights(shapes: Shapes) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(tensor(name, shape)) for name, shape in shapes}


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith(("running_var", "running_mean")):
        return np.full(shape, 1.0 if name.endswith("var") else 0.0, np.float32)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    count = int(np.prod(shape))
    if len(shape) == 1:
        values = rng.random(count)
        scale = 0.5 + 0.2 * values if name.endswith("weight") else 0.05 * (values - 0.5)
        return scale.astype(np.float32)
    spread = np.float32(2.4 / np.sqrt(np.prod(shape[1:])))
    return ((rng.random(count, dtype=np.float32) - 0.5) * spread).reshape(shape)


def batch_norm(name: str, channels: int) -> Shapes:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def resnet_stages(prefix: str, first: str, counts: tuple[int, ...], width: int) -> Shapes:
    """Bottleneck stages; ``first`` is how the first one is called."""
    inputs = width
    for stage, count in enumerate(counts):
        planes = width * 2**stage
        name = first if stage == 0 else f"layer{stage + 1}"
        for block in range(count):
            at = f"{prefix}{name}.{block}"
            sizes = ((planes, inputs, 1, 1), (planes, planes, 3, 3), (4 * planes, planes, 1, 1))
            for number, size in enumerate(sizes, start=1):
                yield f"{at}.conv{number}.weight", size
                yield from batch_norm(f"{at}.bn{number}", size[0])
            if block == 0:
                yield f"{at}.downsample.0.weight", (4 * planes, inputs, 1, 1)
                yield from batch_norm(f"{at}.downsample.1", 4 * planes)
            inputs = 4 * planes


def authors_refinenet(
    counts: tuple[int, ...] = (3, 4, 23, 3), width: int = 64, features: int = 256
) -> Shapes:
    """The authors' segmentation network with its two dead branches."""
    yield "net.layer1.0.weight", (width, 3, 7, 7)
    yield from batch_norm("net.layer1.1", width)
    yield from resnet_stages("net.", "layer1.4", counts, width)
    for stage, out in enumerate((features, features, features, 2 * features), start=1):
        yield f"net.layer{stage}_rn.weight", (out, 4 * width * 2 ** (stage - 1), 3, 3)
    for block, inputs in ((4, (2,)), (3, (2, 1)), (2, (1, 1)), (1, (1, 1))):
        at, wide = f"net.refinenet{block}", 2 * features if block == 4 else features
        for path, factor in enumerate(inputs):
            for unit in range(2):
                yield from rcu(f"{at}.rcu{path}.{unit}", factor * features)
            if len(inputs) > 1:
                yield f"{at}.mrf.resolve{path}.weight", (wide, factor * features, 3, 3)
        for stage in range(4):
            yield f"{at}.crp.block{stage}.1.weight", (wide, wide, 3, 3)
        yield from rcu(f"{at}.output_conv", wide)
    for head in ("output_conv", "segBranch", "depthBranch"):
        yield from rcu(f"net.{head}.0", features)
        yield from rcu(f"net.{head}.1", features)
        yield f"net.{head}.2.weight", (1, features, 1, 1)
        yield f"net.{head}.2.bias", (1,)


def rcu(name: str, channels: int) -> Shapes:
    yield f"{name}.conv1.weight", (channels, channels, 3, 3)
    yield f"{name}.conv1.bias", (channels,)
    yield f"{name}.conv2.weight", (channels, channels, 3, 3)


def xception(prefix: str, width: float) -> Shapes:
    """The Keras port's trunk with ``width`` times its channels."""

    def wide(channels: int) -> int:
        return max(8, round(channels * width))

    yield f"{prefix}conv1.weight", (wide(32), 3, 3, 3)
    yield from batch_norm(f"{prefix}bn1", wide(32))
    yield f"{prefix}conv2.weight", (wide(64), wide(32), 3, 3)
    yield from batch_norm(f"{prefix}bn2", wide(64))
    # Inputs, outputs of each block's separable convolutions, by Chollet 2017, fig. 5.
    entry = [(64, (64, 128), (128, 128)), (128, (128, 256), (256, 256))]
    entry += [(256, (256, 728), (728, 728))]
    middle = [(728, (728, 728), (728, 728), (728, 728))] * 8
    for number, (inputs, *convs) in enumerate(
        [*entry, *middle, (728, (728, 728), (728, 1024))], start=1
    ):
        at, outputs = f"{prefix}block{number}", convs[-1][1]
        if inputs != outputs:
            yield f"{at}.skip.weight", (wide(outputs), wide(inputs), 1, 1)
            yield from batch_norm(f"{at}.skipbn", wide(outputs))
        for step, (a, b) in enumerate(convs):
            place = 3 * step + (0 if number == 1 else 1)
            yield f"{at}.rep.{place}.conv1.weight", (wide(a), 1, 3, 3)
            yield f"{at}.rep.{place}.pointwise.weight", (wide(b), wide(a), 1, 1)
            yield from batch_norm(f"{at}.rep.{place + 1}", wide(b))
    for number, (a, b) in ((3, (1024, 1536)), (4, (1536, 2048))):
        yield f"{prefix}conv{number}.conv1.weight", (wide(a), 1, 3, 3)
        yield f"{prefix}conv{number}.pointwise.weight", (wide(b), wide(a), 1, 1)
        yield from batch_norm(f"{prefix}bn{number}", wide(b))


def authors_classifier(width: float = 1.0) -> Shapes:
    """The authors' classification network with the layer that it never uses."""
    yield from xception("net.", width)
    last, thin = max(8, round(2048 * width)), max(8, round(3069 * width))
    for stage in range(4):
        yield f"net.psp.stages.{stage}.1.weight", (last, last, 1, 1)
    yield "net.psp.bottleneck.weight", (thin, 5 * last, 1, 1)
    yield "net.psp.bottleneck.bias", (thin,)
    yield "net.fc.weight", (2, 3096)
    yield "net.fc.bias", (2,)
    yield "fc2.weight", (2, 2 * thin)
    yield "fc2.bias", (2,)


def authors_inputs(kind: str) -> list[np.ndarray]:
    """The stack LE, RC, LE; or le0, rc0, le1, rc1."""
    rng = np.random.Generator(np.random.PCG64(7))
    if kind == "segmentation":
        return [rng.random((1, 3, 128, 64), dtype=np.float32)]
    return [np.repeat(rng.random((1, 1, 128, 128), dtype=np.float32), 3, axis=1) for _ in range(4)]
