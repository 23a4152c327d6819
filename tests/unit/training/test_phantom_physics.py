"""The phantom's physics against the figures it was made from."""

import numpy as np
import pytest

from worker.training.phantom.physics import (
    HIGH_ENERGY,
    LOW_ENERGY,
    log_signal,
    recombination_weight,
    recombine,
)


def recombined(thickness_cm, gland_share, iodine_mg_cm2=0.0):
    gland = thickness_cm * gland_share
    args = (thickness_cm - gland, gland, iodine_mg_cm2)
    weight = recombination_weight(thickness_cm)
    return float(recombine(log_signal(HIGH_ENERGY, *args), log_signal(LOW_ENERGY, *args), weight))


def test_the_recombination_weight_rises_with_thickness():
    weights = [recombination_weight(cm) for cm in (3.0, 5.0, 7.0)]

    assert weights == pytest.approx([0.262, 0.281, 0.294], abs=0.002)
    assert weights == sorted(weights)


@pytest.mark.parametrize("thickness_cm", [3.0, 5.0, 7.0])
def test_gland_moves_the_low_energy_signal_but_cancels_in_the_recombined_one(thickness_cm):
    fat = log_signal(LOW_ENERGY, thickness_cm, 0.0)
    gland = log_signal(LOW_ENERGY, 0.0, thickness_cm)

    assert float(fat - gland) > 0.5
    residue = [recombined(thickness_cm, share) for share in np.linspace(0, 1, 11)]
    assert np.ptp(residue) < 0.01


@pytest.mark.parametrize("gland_share", [0.1, 0.5, 0.9])
def test_doubled_iodine_doubles_the_recombined_signal(gland_share):
    empty = recombined(5.0, gland_share)
    once = recombined(5.0, gland_share, 1.0) - empty
    twice = recombined(5.0, gland_share, 2.0) - empty

    assert once == pytest.approx(-0.015, abs=0.001)
    assert twice / once == pytest.approx(2.0, rel=0.02)


def test_each_spectrum_passes_what_was_computed_for_five_centimetres():
    assert float(np.exp(log_signal(LOW_ENERGY, 2.5, 2.5))) == pytest.approx(0.040, abs=0.002)
    assert float(np.exp(log_signal(HIGH_ENERGY, 2.5, 2.5))) == pytest.approx(0.249, abs=0.005)


def test_nothing_in_the_beam_lets_everything_pass():
    for spectrum in (LOW_ENERGY, HIGH_ENERGY):
        assert float(log_signal(spectrum, 0.0, 0.0)) == pytest.approx(0.0, abs=1e-6)
