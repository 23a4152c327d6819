"""From tissue maps to the two images a workstation shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from worker.training.phantom.breast import Tissue
from worker.training.phantom.field import Grid, resize, soften
from worker.training.phantom.physics import (
    HIGH_ENERGY,
    LOW_ENERGY,
    Field,
    log_signal,
    recombination_weight,
    recombine,
    transmission,
)

Pixels = npt.NDArray[np.uint16]
MAX_VALUE = 4095  # 12 bits stored

# Per 0.1 mm pixel behind 5 cm of breast: four times 4000 and 1500, which halves the noise as a
# vendor's filters do; the grain then has the size and strength seen in CDD-CESM.
_QUANTA = {"low": 16000.0, "high": 6000.0}
_SCATTER = {"low": 0.12, "high": 0.18}  # scatter to primary behind the grid
_SCATTER_MM = 12.0
_SCATTER_LEFT = 0.05  # share that the vendor's correction leaves
_GAIN_LOW = 1.15  # display range per unit of log signal above fat
_GAIN_RECOMBINED = 24.0  # display range per unit of recombined log signal


@dataclass(frozen=True)
class Pair:
    """Low-energy with recombined image as shown, each (rows, columns) uint16 in 0..4095."""

    low_energy: Pixels
    recombined: Pixels


def expose(tissue: Tissue, grid: Grid, target: Grid, rng: np.random.Generator) -> Pair:
    """Two exposures of one compression, combined and processed for presentation.

    ``tissue`` lies on ``grid``; the pair comes out on ``target``, which covers the same area.
    """
    motion = rng.normal(0, 0.035, 2) / grid.spacing_mm  # first: the same on every grid
    adipose = tissue.thickness_cm - tissue.gland_cm
    low = transmission(LOW_ENERGY, adipose, tissue.gland_cm, tissue.iodine_mg_cm2)
    high = transmission(HIGH_ENERGY, adipose, tissue.gland_cm, tissue.iodine_mg_cm2)
    low_log = _detected(low, "low", tissue, grid, rng)
    high_log = _detected(high, "high", tissue, grid, rng)
    moved = _shifted(low_log, motion)
    weight = _weights(tissue.thickness_cm)
    contrast = recombine(
        gaussian_filter(high_log, 0.14 / grid.spacing_mm),
        gaussian_filter(moved, 0.10 / grid.spacing_mm),
        weight,
    )
    return Pair(
        low_energy=_to_display(_show_low(low_log, tissue, grid), target, rng, 0.006),
        recombined=_to_display(_show_recombined(contrast, weight, tissue), target, rng, 0.012),
    )


def _detected(
    primary: Field, energy: str, tissue: Tissue, grid: Grid, rng: np.random.Generator
) -> Field:
    """Log signal with scatter, quantum noise, detector blur."""
    behind = primary * (tissue.inside_mm > 0)
    spread = soften(behind, grid, _SCATTER_MM)
    share = np.float32(_SCATTER[energy] * _SCATTER_LEFT)
    signal = primary + share * spread
    reference = float(np.exp(log_signal(LOW_ENERGY if energy == "low" else HIGH_ENERGY, 2.5, 2.5)))
    quanta = _QUANTA[energy] * (grid.spacing_mm / 0.1) ** 2 / reference
    noise = rng.standard_normal(signal.shape, np.float32)
    signal += noise * np.sqrt(signal / np.float32(quanta))
    blurred = gaussian_filter(np.maximum(signal, 1e-5), 0.08 / grid.spacing_mm)
    return np.asarray(np.log(blurred), np.float32)


def _weights(thickness_cm: Field) -> Field:
    """The weight that each local thickness needs, as a vendor's calibration gives it."""
    table = np.linspace(0.5, 8, 16)
    values = [recombination_weight(float(cm)) for cm in table]
    return np.interp(thickness_cm, table, values).astype(np.float32)


def _shifted(image: Field, pixels: npt.NDArray[np.float64]) -> Field:
    """Moved by less than a pixel or a few, linear: the patient breathes between the exposures."""
    rows, columns = image.shape
    margin = int(np.ceil(np.abs(pixels).max())) + 1
    padded = np.pad(image, margin, mode="edge")
    for axis, amount in enumerate(pixels):
        whole = int(np.floor(amount))
        part = np.float32(amount - whole)
        padded = (1 - part) * np.roll(padded, whole, axis) + part * np.roll(padded, whole + 1, axis)
    return padded[margin : margin + rows, margin : margin + columns]


def _fat_only(spectrum: Field, thickness_cm: Field) -> Field:
    """Log signal of the same thickness made of fat: what peripheral equalisation takes away."""
    table = np.linspace(0, 8, 161, dtype=np.float32)
    values = log_signal(spectrum, table, 0.0)
    return np.interp(thickness_cm, table, values).astype(np.float32)


def _show_low(low_log: Field, tissue: Tissue, grid: Grid) -> Field:
    """Processed mammogram: gland bright, fat dark grey, skin visible, background black."""
    above_fat = _fat_only(LOW_ENERGY, tissue.thickness_cm) - low_log
    even = above_fat - 0.55 * soften(above_fat, grid, 16)
    edge = 1 - np.exp(-tissue.thickness_cm / 1.1)
    shown = (0.17 + np.float32(_GAIN_LOW) * np.maximum(even, 0)) * edge
    return _shoulder(shown)


def _show_recombined(contrast: Field, weight: Field, tissue: Tissue) -> Field:
    """Recombined image: enhancement bright on grey, gland cancelled, the breast-in-breast rim."""
    fat = recombine(
        _fat_only(HIGH_ENERGY, tissue.thickness_cm),
        _fat_only(LOW_ENERGY, tissue.thickness_cm),
        weight,
    )
    uptake = fat - contrast
    # The window follows the breast's own level, which takes the mean of the scatter with it.
    uptake -= np.median(uptake[tissue.inside_mm > 15])  # noqa: PLR2004 -- mm from the skin
    plates = tissue.inside_mm - np.float32(tissue.thickness_cm.max() * 10 * 0.33)
    rim = 1 / (1 + np.exp(-plates / 2.2)) * (0.35 + 0.65 * np.exp(-np.maximum(plates, 0) / 22))
    there = 1 - np.exp(-np.maximum(tissue.inside_mm, 0) / 0.8)
    shown = (0.17 + 0.14 * rim + np.float32(_GAIN_RECOMBINED) * uptake) * there
    return _shoulder(shown)


def _shoulder(shown: Field) -> Field:
    """Linear up to 0.6 of the range, then bending so that nothing clips abruptly."""
    over = np.maximum(shown - 0.6, 0)
    return np.asarray(np.clip(np.minimum(shown, 0.6) + 0.4 * (1 - np.exp(-over / 0.4)), 0, 1))


def _to_display(shown: Field, target: Grid, rng: np.random.Generator, grain: float) -> Pixels:
    """Onto the target grid in 12 bits; a finer grid gets back a little of its own grain."""
    if shown.shape != (target.rows, target.columns):
        finer = target.rows > shown.shape[0]
        shown = resize(shown.astype(np.float32), (target.rows, target.columns))
        if finer:
            noise = rng.standard_normal(shown.shape, np.float32)
            shown = shown + np.float32(grain) * noise * (shown > 0.02)  # noqa: PLR2004 -- the air stays black
    return (np.clip(shown, 0, 1) * MAX_VALUE + 0.5).astype(np.uint16)
