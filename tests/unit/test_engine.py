"""Other engines than torch's modules: the same numbers, or none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicom_node.errors import BundleError, ConfigurationError
from tests.peers import need
from tests.unit.faps.test_predictor import GRID, lesion, tiny_faps, view
from worker import engine
from worker.bundle import default_bundle
from worker.faps.ensemble import FapsClassifiers, Fast, RefineNets
from worker.faps.predictor import Faps
from worker.load import load


def accept(_faps: Faps) -> None:
    """No golden output to compare with."""


def answers(faps: Faps) -> list[np.ndarray]:
    with torch.inference_mode():
        probability = faps.segment(view())
    p, maps, *_ = faps.classify([(view(0), lesion()), (view(1), lesion(60, 30))])
    return [probability, np.array(p), *maps]


def close(one: Faps, other: Faps) -> None:
    for a, b in zip(answers(one), answers(other), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize("energies", [("recombined",), ("low_energy", "recombined")])
def test_onnx_runtime_gives_what_torch_gives(energies):
    faps = tiny_faps(energies=energies)
    fast = engine.with_engine(faps, engine.ONNX, accept)
    assert isinstance(fast.segmentation, Fast)
    close(faps, fast)


def test_several_networks_that_answer_together_are_taken_over_one_by_one():
    one, two = tiny_faps(seed=1), tiny_faps(seed=2)
    faps = engine.replace(
        one,
        segmentation=RefineNets([one.segmentation, two.segmentation]).eval(),
        classification=FapsClassifiers([one.classification, two.classification]).eval(),
    )
    fast = engine.with_engine(faps, engine.ONNX, accept)
    close(faps, fast)
    # What was torch's stays torch's.
    assert not isinstance(one.classification.trunk, Fast)


@pytest.mark.slow
def test_torch_compile_gives_what_torch_gives():
    need("g++", "g++")
    faps = tiny_faps()
    close(faps, engine.with_engine(faps, engine.COMPILE, accept))


def test_an_engine_that_computes_otherwise_is_refused_and_fastest_goes_on_without_it(monkeypatch):
    faps, lines = tiny_faps(), []
    compiled = engine._onnx

    def wrong(network, example):
        right = compiled(network, example)
        return Fast(lambda x: right(x) + 0.1)

    def prove(made: Faps) -> None:
        difference = np.abs(answers(made)[0] - answers(faps)[0]).max()
        if difference > 1e-3:
            raise BundleError(f"probability differs by {difference:.2g}")

    monkeypatch.setattr(engine, "_onnx", wrong)
    monkeypatch.setattr(engine, "_compiled", wrong)
    with pytest.raises(BundleError, match="differs"):
        engine.with_engine(faps, engine.ONNX, prove)
    assert engine.with_engine(faps, engine.FASTEST, prove, lines.append) is faps
    assert sum("left out" in line for line in lines) == 2
    assert lines[-1].startswith("engine torch")


def test_the_fastest_engine_is_measured_on_this_machine(monkeypatch):
    monkeypatch.setattr(engine, "_compiled", engine._onnx)
    lines = []
    faps = engine.with_engine(tiny_faps(), engine.FASTEST, accept, lines.append)
    assert faps.size == GRID
    assert "torch" in lines[-1]
    assert "onnx" in lines[-1]
    assert "ms" in lines[-1]


def test_an_engine_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"install faps-node\[onnx\]"):
        engine.with_engine(tiny_faps(), engine.ONNX, accept)


def test_a_network_that_an_engine_cannot_take_is_named_with_the_way_out(monkeypatch):
    def broken(_network, _example):
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(engine, "_onnx", broken)
    with pytest.raises(BundleError, match=r"no such operator\); set worker.engine to torch"):
        engine.with_engine(tiny_faps(), engine.ONNX, accept)


def test_the_shipped_bundle_passes_its_golden_outputs_by_onnx_runtime():
    faps = load(default_bundle(), engine="onnx")
    assert isinstance(faps.segmentation, Fast)
