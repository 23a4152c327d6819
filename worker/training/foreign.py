"""Parameter names of published checkpoints as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from dicom_node.errors import BundleError
from worker.faps.resnet import DEPTHS

Kind = Literal["segmentation", "classification"]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A naming that is known: its rules in order, and the parts that no output depends on."""

    name: str
    complete: bool  # the whole network, or its backbone alone
    rules: tuple[tuple[str, str], ...]  # regular expression on the whole name, replacement
    dropped: str  # regular expression of names that are left out


# The cascade hands the coarser path in first; our blocks take the finer one first.
FAPS_REFINENET = Source(
    name="FAPS authors' RefineNet",
    complete=True,
    rules=(
        (r"net\.layer1\.0\.(.*)", r"trunk.conv1.\1"),
        (r"net\.layer1\.1\.(.*)", r"trunk.bn1.\1"),
        (r"net\.layer1\.4\.(.*)", r"trunk.layer1.\1"),
        (r"net\.layer([234])\.(.*)", r"trunk.layer\1.\2"),
        (r"net\.layer1_rn\.(.*)", r"decoder.adapters.0.\1"),
        (r"net\.layer2_rn\.(.*)", r"decoder.adapters.1.\1"),
        (r"net\.layer3_rn\.(.*)", r"decoder.adapters.2.\1"),
        (r"net\.layer4_rn\.(.*)", r"decoder.adapters.3.\1"),
        (r"net\.refinenet4\.rcu0\.(.*)", r"decoder.block4.rcu.0.\1"),
        (r"net\.refinenet([123])\.rcu0\.(.*)", r"decoder.block\1.rcu.1.\2"),
        (r"net\.refinenet([123])\.rcu1\.(.*)", r"decoder.block\1.rcu.0.\2"),
        (r"net\.refinenet([123])\.mrf\.resolve0\.(.*)", r"decoder.block\1.resolve.1.\2"),
        (r"net\.refinenet([123])\.mrf\.resolve1\.(.*)", r"decoder.block\1.resolve.0.\2"),
        (r"net\.refinenet(\d)\.crp\.block(\d)\.1\.(.*)", r"decoder.block\1.crp.convs.\2.\3"),
        (r"net\.refinenet(\d)\.output_conv\.(.*)", r"decoder.block\1.output.\2"),
        (r"net\.output_conv\.(.*)", r"head.\1"),
    ),
    # Computed by the authors' graph and thrown away.
    dropped=r"net\.(segBranch|depthBranch)\..*",
)
FAPS_XCEPTION = Source(
    name="FAPS authors' Xception with pyramid pooling",
    complete=True,
    rules=(
        (r"net\.psp\.stages\.(\d)\.1\.(.*)", r"ppm.stages.\1.1.\2"),
        (r"net\.psp\.bottleneck\.(.*)", r"ppm.bottleneck.0.\1"),
        (r"fc2\.(.*)", r"fc.\1"),
        (r"net\.(.*)", r"trunk.\1"),
    ),
    dropped=r"net\.fc\..*",
)
RESNET = Source(
    name="ResNet backbone with torchvision's names",
    complete=False,
    rules=((r"((?:conv1|bn1|layer[1-4])\..*)", r"trunk.\1"),),
    dropped=r"fc\..*",
)
XCEPTION = Source(
    name="Xception backbone of the Keras port",
    complete=False,
    rules=((r"((?:conv[1-4]|bn[1-4]|block\d+)\..*)", r"trunk.\1"),),
    dropped=r"(fc|last_linear)\..*",
)
EFFICIENTNET_LITE = Source(
    name="EfficientNet-Lite0 backbone with the names of efficientnet-pytorch",
    complete=False,
    rules=(
        (r"_conv_stem\.(.*)", r"trunk.stem.0.\1"),
        (r"_bn0\.(.*)", r"trunk.stem.1.\1"),
        (r"_blocks\.(\d+)\._expand_conv\.(.*)", r"trunk.blocks.\1.expand.0.\2"),
        (r"_blocks\.(\d+)\._bn0\.(.*)", r"trunk.blocks.\1.expand.1.\2"),
        (r"_blocks\.(\d+)\._depthwise_conv\.(.*)", r"trunk.blocks.\1.depthwise.0.\2"),
        (r"_blocks\.(\d+)\._bn1\.(.*)", r"trunk.blocks.\1.depthwise.1.\2"),
        (r"_blocks\.(\d+)\._project_conv\.(.*)", r"trunk.blocks.\1.project.0.\2"),
        (r"_blocks\.(\d+)\._bn2\.(.*)", r"trunk.blocks.\1.project.1.\2"),
    ),
    dropped=r"(_conv_head|_bn1|_fc)\..*",
)
LITE_MARK = "_blocks.0._depthwise_conv.weight"
MARKS = {
    "segmentation": (
        ("net.layer1_rn.weight", FAPS_REFINENET),
        ("layer1.0.conv1.weight", RESNET),
        (LITE_MARK, EFFICIENTNET_LITE),
    ),
    "classification": (
        ("net.psp.bottleneck.weight", FAPS_XCEPTION),
        ("block1.rep.0.conv1.weight", XCEPTION),
        (LITE_MARK, EFFICIENTNET_LITE),
    ),
}


def recognise(state: Mapping[str, Tensor], kind: Kind) -> Source:
    """The naming of a checkpoint of one ``kind`` of network.

    Raises
    ------
    BundleError
        When it is none that is known.
    """
    for mark, source in MARKS[kind]:
        if mark in state:
            return source
    known = ", ".join(source.name for _, source in MARKS[kind])
    first = ", ".join(list(state)[:3])
    raise BundleError(
        f"the checkpoint's names ({first}, ...) are of no {kind} network that is known: {known}"
    )


def renamed(state: Mapping[str, Tensor], source: Source) -> State:
    """``state`` under our names.

    Raises
    ------
    BundleError
        When a name follows no rule of its naming.
    """
    found: State = {}
    for name, tensor in state.items():
        if re.fullmatch(source.dropped, name):
            continue
        for pattern, replacement in source.rules:
            if re.fullmatch(pattern, name):
                # One published Xception file keeps its pointwise weights as matrices.
                matrix = ".pointwise." in name and tensor.dim() == 2  # noqa: PLR2004 - a matrix
                ours = re.sub(pattern, replacement, name)
                found[ours] = tensor[:, :, None, None] if matrix else tensor
                break
        else:
            raise BundleError(f"the checkpoint's {name} belongs to no part of a {source.name}")
    return found


def resnet_depth(state: Mapping[str, Tensor]) -> int:
    """Which ResNet a renamed state's trunk is, by the blocks of its stages.

    Raises
    ------
    BundleError
        When it is none of those that this product has.
    """
    deep = "trunk.layer1.0.conv3.weight" in state
    counts = [0, 0, 0, 0]
    for name in state:
        if found := re.match(r"trunk\.layer([1-4])\.(\d+)\.", name):
            stage = int(found[1]) - 1
            counts[stage] = max(counts[stage], int(found[2]) + 1)
    for depth, shape in DEPTHS.items():
        if shape == (tuple(counts), deep):
            return depth
    known = ", ".join(f"ResNet-{depth}" for depth in DEPTHS)
    raise BundleError(f"a trunk of {counts} blocks is none of {known}")


def checked(state: State, expected: Mapping[str, Any], *, complete: bool) -> State:
    """``state`` if names and sizes are those of ``expected``; a backbone may leave the rest open.

    Raises
    ------
    BundleError
        Naming the first difference.
    """
    wanted = {name for name in expected if complete or name.startswith("trunk.")}
    # Files from before PyTorch 0.4.1 lack these counters; they take no part in inference.
    missing = sorted(n for n in wanted - state.keys() if not n.endswith("num_batches_tracked"))
    strange = sorted(state.keys() - wanted)
    if missing or strange:
        what, which = ("lacks", missing) if missing else ("has the unknown", strange)
        raise BundleError(f"the checkpoint {what} {which[0]} ({len(which)} in all)")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise BundleError(
                f"the checkpoint's {name} is {tuple(tensor.shape)}, "
                f"the network takes {tuple(expected[name].shape)}"
            )
    return state
