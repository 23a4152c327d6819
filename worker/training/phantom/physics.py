"""How X-rays of two spectra are weakened by breast tissue with iodine in it."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

# Each row: mean energy keV, share of the detected signal in air, attenuation of adipose tissue and
# of fibroglandular tissue 1/cm, mass attenuation of iodine cm2/g. Spectra: SpekPy 2.5 (model kqp,
# 20 degree anode, 0.5 mm Be, 60 cm air), detector 0.2 mm a-Se, energy integrating; attenuation:
# xraylib 4 with the tissues of Hammerstein 1979; averaged per bin behind 4 cm of breast.
LOW_ENERGY: Final = np.array(  # W anode, 0.05 mm Rh, 29 kVp: mean 18.9 keV, HVL 0.48 mm Al
    [
        (12.63, 0.02045, 1.5121, 2.5709, 87.487),
        (14.04, 0.04077, 1.1428, 1.9123, 65.937),
        (15.45, 0.07917, 0.8990, 1.4772, 51.032),
        (16.57, 0.07659, 0.7611, 1.2308, 42.230),
        (17.55, 0.09469, 0.6682, 1.0647, 36.146),
        (18.54, 0.11029, 0.5941, 0.9323, 31.198),
        (19.53, 0.12218, 0.5343, 0.8255, 27.133),
        (20.52, 0.12966, 0.4856, 0.7385, 23.739),
        (21.52, 0.13231, 0.4456, 0.6670, 20.885),
        (22.64, 0.16192, 0.4085, 0.6008, 18.206),
        (24.21, 0.00981, 0.3677, 0.5283, 15.218),
        (26.03, 0.01372, 0.3315, 0.4641, 12.525),
        (27.79, 0.00844, 0.3049, 0.4170, 10.515),
    ],
    dtype=np.float32,
)
HIGH_ENERGY: Final = np.array(  # W anode, 0.3 mm Cu, 45 kVp: mean 35.7 keV, HVL 3.05 mm Al
    [
        (23.86, 0.01470, 0.3775, 0.5458, 15.932),
        (26.49, 0.04126, 0.3241, 0.4510, 11.967),
        (28.90, 0.08798, 0.2913, 0.3931, 9.479),
        (30.92, 0.09249, 0.2708, 0.3572, 7.905),
        (32.52, 0.09674, 0.2580, 0.3348, 6.909),
        (33.89, 0.08955, 0.2488, 0.3189, 33.925),  # the K-edge of iodine lies at 33.17 keV
        (35.26, 0.11319, 0.2408, 0.3052, 30.629),
        (36.75, 0.11341, 0.2333, 0.2924, 27.522),
        (38.24, 0.10719, 0.2269, 0.2814, 24.833),
        (39.73, 0.09478, 0.2212, 0.2719, 22.494),
        (41.22, 0.07635, 0.2163, 0.2636, 20.451),
        (42.69, 0.05178, 0.2119, 0.2564, 18.671),
        (44.04, 0.02058, 0.2084, 0.2505, 17.208),
    ],
    dtype=np.float32,
)


def transmission(
    spectrum: Field, adipose_cm: Field, gland_cm: Field, iodine_mg_cm2: Field
) -> Field:
    """Share of the detector's open-field signal that passes, (rows, columns) float32 in (0, 1].

    Parameters
    ----------
    spectrum
        ``LOW_ENERGY`` or ``HIGH_ENERGY``.
    adipose_cm, gland_cm
        Path through each tissue in cm, (rows, columns).
    iodine_mg_cm2
        Iodine per area, (rows, columns).
    """
    total = np.zeros(adipose_cm.shape, np.float32)
    passed = np.empty_like(total)
    part = np.empty_like(total)
    iodine_g_cm2 = iodine_mg_cm2 * np.float32(1e-3)
    weights = spectrum[:, 1] / spectrum[:, 1].sum()
    for weight, (adipose, gland, iodine) in zip(weights, spectrum[:, 2:], strict=True):
        np.multiply(adipose_cm, -adipose, out=passed)
        passed -= np.multiply(gland_cm, gland, out=part)
        passed -= np.multiply(iodine_g_cm2, iodine, out=part)
        np.exp(passed, out=passed)
        passed *= weight
        total += passed
    return total


def log_signal(
    spectrum: Field,
    adipose_cm: float | Field,
    gland_cm: float | Field,
    iodine_mg_cm2: float | Field = 0.0,
) -> Field:
    """Natural logarithm of `transmission`; arguments may be numbers."""
    tissue = np.broadcast_arrays(
        *(np.asarray(x, np.float32) for x in (adipose_cm, gland_cm, iodine_mg_cm2))
    )
    return np.log(transmission(spectrum, tissue[0], tissue[1], tissue[2]))


@functools.cache
def recombination_weight(thickness_cm: float) -> float:
    """Weight ``w`` of ``ln HE - w * ln LE`` that cancels 0-100 % gland in this thickness.

    Least squares over the glandular fraction, which is what a vendor's calibration with tissue
    plates does; 0.262, 0.281, 0.294 for 3, 5, 7 cm.
    """
    gland = np.linspace(0.0, thickness_cm, 11, dtype=np.float32)
    low = log_signal(LOW_ENERGY, thickness_cm - gland, gland).astype(np.float64)
    high = log_signal(HIGH_ENERGY, thickness_cm - gland, gland).astype(np.float64)
    low -= low.mean()
    return float((low * (high - high.mean())).sum() / (low * low).sum())


def recombine(high: Field, low: Field, weight: float | Field) -> Field:
    """``ln HE - w * ln LE`` of two log signals: iodine makes it smaller, about 0.015 per mg/cm2."""
    return np.asarray(high - np.asarray(weight, np.float32) * low)
