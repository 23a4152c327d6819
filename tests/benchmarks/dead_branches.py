"""The authors' full-resolution graph with its dead branches against the same function without.

    python tests/benchmarks/dead_branches.py [--rounds N]

RefineNet-101 at 1024 x 512. Each run is a process of its own, so that its peak memory is its own;
runs alternate. Prints medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

SHAPE = (1, 3, 1024, 512)


def once(which: str) -> dict[str, float]:
    """Seconds and peak memory in MB of one forward, and a few output values."""
    import torch
    from torch import nn
    from torch.nn import functional

    from worker.faps.refinenet import RCU, RefineNet

    class Authors(nn.Module):
        """Their graph: the enlarged map goes through three heads, two results are thrown away."""

        def __init__(self, network: RefineNet) -> None:
            super().__init__()
            self.network = network
            self.dead = nn.ModuleList(
                nn.Sequential(RCU(256), RCU(256), nn.Conv2d(256, 1, 1)) for _ in range(2)
            )

        def forward(self, x):
            path = self.network.decoder(*self.network.trunk(x))
            path = functional.interpolate(path, scale_factor=4, mode="bilinear", align_corners=True)
            segmentation, depth = (branch(path) for branch in self.dead)
            return self.network.head(path), segmentation, depth

    torch.manual_seed(0)
    network = RefineNet(101, head="full").eval()
    for module in network.modules():  # keeps activations of a random network finite
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.2)
    chosen = Authors(network).eval() if which == "authors" else network
    chosen = chosen.to(memory_format=torch.channels_last)
    x = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        start = time.monotonic()
        output = chosen(x)
        seconds = time.monotonic() - start
    logits = output[0] if which == "authors" else output
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    values = [float(v) for v in logits.flatten()[:: logits.numel() // 7]]
    return {"seconds": seconds, "peak_mb": peak, "values": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", choices=("authors", "ours"))
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(once(arguments.once)))  # noqa: T201 - what the parent reads
        return
    runs: dict[str, list[dict[str, float]]] = {"authors": [], "ours": []}
    for _ in range(arguments.rounds):
        for which, found in runs.items():
            command = [sys.executable, __file__, "--once", which]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.append(json.loads(text))
    medians = {
        which: {key: statistics.median(run[key] for run in found) for key in ("seconds", "peak_mb")}
        for which, found in runs.items()
    }
    difference = max(
        abs(a - b)
        for a, b in zip(runs["authors"][0]["values"], runs["ours"][0]["values"], strict=True)
    )
    for which, figures in medians.items():
        print(f"{which:8} {figures['seconds']:7.2f} s  {figures['peak_mb']:7.0f} MB peak")  # noqa: T201
    for key, name in (("seconds", "time"), ("peak_mb", "peak memory")):
        ratio = medians["ours"][key] / medians["authors"][key]
        print(f"{name}: {ratio:.2f} of the authors' graph")  # noqa: T201
    print(f"largest difference of the outputs looked at: {difference:.1e}")  # noqa: T201


if __name__ == "__main__":
    main()
