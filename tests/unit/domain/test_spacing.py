"""Pixel spacing in the plane of the breast, by the rule that a header allows."""

from __future__ import annotations

from typing import Any

import pytest

from dicom_node.domain.spacing import spacing_of
from tests.headers import dataset_of

IMAGER = [0.07, 0.08]


@pytest.mark.parametrize(
    ("values", "spacing", "rule"),
    [
        ({"ImagerPixelSpacing": IMAGER}, (0.07, 0.08), "uncorrected"),
        (
            {"ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.056, 0.064),
            "magnification",
        ),
        ({"ImagerPixelSpacing": IMAGER, "PixelSpacing": [0.05, 0.05]}, (0.05, 0.05), "calibrated"),
        # the same value in both elements is no calibration
        ({"ImagerPixelSpacing": IMAGER, "PixelSpacing": IMAGER}, (0.07, 0.08), "uncorrected"),
        (
            {
                "ImagerPixelSpacing": IMAGER,
                "PixelSpacing": IMAGER,
                "EstimatedRadiographicMagnificationFactor": 1.25,
            },
            (0.056, 0.064),
            "magnification",
        ),
        ({"PixelSpacing": [0.05, 0.05]}, (0.05, 0.05), "calibrated"),
        ({"EstimatedRadiographicMagnificationFactor": 1.25}, None, "none"),
        ({"ImagerPixelSpacing": [0, 0]}, None, "none"),
        ({"ImagerPixelSpacing": [0.07]}, None, "none"),
        ({"ImagerPixelSpacing": [-0.07, 0.07]}, None, "none"),
        ({"ImagerPixelSpacing": ""}, None, "none"),
        (
            {"ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 0},
            (0.07, 0.08),
            "uncorrected",
        ),
        ({}, None, "none"),
    ],
)
def test_spacing_follows_the_strongest_rule_the_header_allows(
    values: dict[str, Any], spacing: tuple[float, float] | None, rule: str
) -> None:
    found, by = spacing_of(dataset_of(**values))
    assert by == rule
    assert found == (pytest.approx(spacing) if spacing else None)
