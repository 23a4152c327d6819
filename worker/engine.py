"""Who computes the networks: torch as it is, torch.compile, or ONNX Runtime."""

from __future__ import annotations

import importlib.util
import io
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from dicom_node.errors import BundleError, ConfigurationError
from worker.faps.ensemble import Fast, classifiers_of
from worker.faps.predictor import Faps
from worker.faps.xception_ppm import FapsClassifier

TORCH, COMPILE, ONNX, FASTEST = "torch", "compile", "onnx", "fastest"
OPSET = 17
RUNS = 7  # of the start-up measurement, of which the median counts
Prove = Callable[[Faps], None]  # raises BundleError where golden outputs are not reproduced
Report = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """An engine that gives the golden outputs, and seconds for a view with one crop."""

    name: str
    faps: Faps
    seconds: float


def with_engine(faps: Faps, engine: str, prove: Prove, report: Report = lambda _line: None) -> Faps:
    """``faps`` computed by ``engine``: "torch", "compile", "onnx", or the "fastest" that is there.

    Every engine must give the bundle's golden outputs, as torch did. With "fastest" each one is
    measured here, at the bundle's own sizes, and one that is missing or wrong is left out.

    Raises
    ------
    ConfigurationError
        When the engine is not installed.
    BundleError
        When it cannot compute these networks, or computes other outputs.
    """
    if engine == TORCH:
        return faps
    if engine != FASTEST:
        return _built(faps, engine, prove)
    found = [Measured(TORCH, faps, _seconds(faps))]
    for name in (ONNX, COMPILE):
        try:
            other = _built(faps, name, prove)
        except (ConfigurationError, BundleError) as error:
            report(f"engine {name}: left out: {error}")
            continue
        found.append(Measured(name, other, _seconds(other)))
    best = min(found, key=lambda measured: measured.seconds)
    times = ", ".join(f"{m.name} {1000 * m.seconds:.0f} ms" for m in found)
    report(f"engine {best.name} for views and crops: {times}")
    return best.faps


def _built(faps: Faps, engine: str, prove: Prove) -> Faps:
    """``faps`` with other hands on both networks, proved."""
    make = {COMPILE: _compiled, ONNX: _onnx}.get(engine)
    if make is None:
        raise ConfigurationError(
            f"worker.engine is {engine!r}; write one of {TORCH}, {COMPILE}, {ONNX}, {FASTEST}"
        )
    try:
        # Pooling into bins stays with torch: ONNX has no adaptive pooling of any size.
        trunks = {
            number: make(member.trunk, _crops(faps, member))
            for number, member in enumerate(classifiers_of(faps.classification))
        }
        fast = replace(
            faps,
            segmentation=make(faps.segmentation, _view(faps)),
            classification=_with_trunks(faps.classification, trunks),
        )
        prove(fast)
    except (ConfigurationError, BundleError):
        raise
    except Exception as error:
        # Exporters and compilers raise almost anything.
        first = (str(error).strip().splitlines() or [""])[0]
        raise BundleError(
            f"engine {engine}: cannot compute bundle {faps.card.name} ({type(error).__name__}: "
            f"{first}); set worker.engine to {TORCH}"
        ) from error
    return fast


def _view(faps: Faps) -> Tensor:
    return torch.zeros(1, len(faps.channels), *faps.size)


def _crops(faps: Faps, member: FapsClassifier) -> Tensor:
    return torch.zeros(2, member.in_channels, faps.crop.size, faps.crop.size)


def _with_trunks(classifier: Any, trunks: Mapping[int, Fast]) -> Any:  # noqa: ANN401 - either of two
    """A classifier that shares everything with ``classifier`` but the trunks."""
    members = []
    for number, member in enumerate(classifiers_of(classifier)):
        twin = member.without_trunk()
        twin.trunk = trunks[number]
        members.append(twin)
    return members[0] if classifier is classifiers_of(classifier)[0] else type(classifier)(members)


def _compiled(network: nn.Module, example: Tensor) -> Fast:
    """By torch.compile; needs a C++ compiler on this machine, and half a minute for a network."""
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its own parts
        run = torch.compile(_Last(network).eval(), dynamic=False)
        run(example)
    return Fast(run)


def _onnx(network: nn.Module, example: Tensor) -> Fast:
    """By ONNX Runtime on the CPU, exported at every start: a bundle holds weights alone."""
    if not all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx")):
        raise ConfigurationError(
            f"engine {ONNX}: ONNX Runtime is not installed; install faps-node[onnx], or set "
            f"worker.engine to {TORCH}"
        )
    last = _Last(network).eval()
    sessions = {example.shape[1:]: _session(last, example)}

    def run(x: Tensor) -> Tensor:
        if x.shape[1:] not in sessions:  # the golden input's own size
            sessions[x.shape[1:]] = _session(last, x)
        (y,) = sessions[x.shape[1:]].run(["y"], {"x": x.contiguous().numpy()})
        return torch.from_numpy(y)

    return Fast(run)


def _session(network: nn.Module, example: Tensor) -> Any:  # noqa: ANN401 - of an optional package
    """``network`` for any number of inputs of the size of ``example``."""
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional package

    graph = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter takes ten times as long and needs three more packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (example,), graph,  # type: ignore[arg-type]  # its stubs know no streams
            dynamo=False, opset_version=OPSET,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        graph.getvalue(), options, providers=["CPUExecutionProvider"]
    )


class _Last(nn.Module):
    """A trunk's last map alone: what a classifier takes of it."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → its last map."""
        maps = self.trunk(x)
        return maps if isinstance(maps, Tensor) else maps[-1]


def _seconds(faps: Faps) -> float:
    """Median time of a view segmented and one crop classified."""
    view, crops = _view(faps), torch.zeros(1, len(faps.energies), faps.crop.size, faps.crop.size)

    def once() -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            faps.segmentation(view.contiguous(memory_format=torch.channels_last))
            faps.classification.features(crops)
        return time.perf_counter() - start

    once()
    return statistics.median(once() for _ in range(RUNS))
