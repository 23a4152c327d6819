"""Pixel spacing in the plane of the breast, by the rule that the header allows."""

from __future__ import annotations

from typing import Any

from dicom_node.domain.elements import Readable

Spacing = tuple[float, float]  # (row, column) in mm


def spacing_of(ds: Readable) -> tuple[Spacing | None, str]:
    """Spacing (row_mm, col_mm) and the rule it comes from; None where the header has none.

    Imager Pixel Spacing is measured at the detector and never adjusted (PS3.3 C.8.11.7). Pixel
    Spacing is therefore a calibration where it differs; otherwise Estimated Radiographic
    Magnification Factor brings the detector's spacing to the breast. Rules: ``"calibrated"``,
    ``"magnification"``, ``"uncorrected"``, ``"none"``.
    """
    imager = _pair(ds.get("ImagerPixelSpacing"))
    pixel = _pair(ds.get("PixelSpacing"))
    if pixel is not None and pixel != imager:
        return pixel, "calibrated"
    if imager is None:
        return None, "none"
    factor = _positive(ds.get("EstimatedRadiographicMagnificationFactor"))
    if factor is not None:
        return (imager[0] / factor, imager[1] / factor), "magnification"
    return imager, "uncorrected"


def _pair(value: Any) -> Spacing | None:  # noqa: ANN401 - whatever a header holds
    """Two positive numbers, or None."""
    try:
        row, column = (_positive(v) for v in value)
    except (TypeError, ValueError):
        return None
    return None if row is None or column is None else (row, column)


def _positive(value: Any) -> float | None:  # noqa: ANN401 - whatever a header holds
    """A positive finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
