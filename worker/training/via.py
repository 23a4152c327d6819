"""Regions drawn in the VGG Image Annotator as masks."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from worker.contracts import Mask

POINT_RADIUS = 25.0  # pixels: how the makers of CDD-CESM drew their points
CORNERS = 180  # of an ellipse's polygon
Region = Mapping[str, Any]


def read_regions(file: Path) -> dict[str, list[Region]]:
    """Regions by image name without its ending; names may end in a blank before it."""
    found: dict[str, list[Region]] = defaultdict(list)
    with file.open(newline="", encoding="utf-8-sig") as opened:
        for row in csv.DictReader(opened):
            name = Path(row["#filename"]).stem.strip()
            region = json.loads(row["region_shape_attributes"] or "{}")
            if region:
                found[name].append(region)
    return dict(found)


def draw(regions: Sequence[Region], shape: tuple[int, int]) -> Mask:
    """All regions of one image as one mask of ``shape`` (rows, columns), clipped to it.

    Raises
    ------
    ValueError
        When a region is of a kind that is not known.
    """
    picture = Image.new("1", (shape[1], shape[0]))
    pen = ImageDraw.Draw(picture)
    for region in regions:
        corners = _corners(region)
        if len(corners) > 2:  # noqa: PLR2004 - fewer enclose nothing
            pen.polygon(corners, fill=1, outline=1)
    return np.asarray(picture, dtype=np.bool_)


def _corners(region: Region) -> list[tuple[float, float]]:
    """A region's outline as (x, y) points."""
    kind = region["name"]
    if kind in {"polygon", "polyline"}:
        points = zip(region["all_points_x"], region["all_points_y"], strict=True)
        return [(float(x), float(y)) for x, y in points]
    if kind == "rect":
        left, top = float(region["x"]), float(region["y"])
        right, bottom = left + float(region["width"]), top + float(region["height"])
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    centre = float(region["cx"]), float(region["cy"])
    if kind == "point":
        return _ellipse(centre, (POINT_RADIUS, POINT_RADIUS), 0.0)
    if kind == "circle":
        return _ellipse(centre, (float(region["r"]), float(region["r"])), 0.0)
    if kind == "ellipse":
        radii = float(region["rx"]), float(region["ry"])
        return _ellipse(centre, radii, float(region.get("theta", 0.0)))
    raise ValueError(f"region of the unknown kind {kind!r}")


def _ellipse(
    centre: tuple[float, float], radii: tuple[float, float], theta: float
) -> list[tuple[float, float]]:
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    turned_x = centre[0] + x * np.cos(theta) - y * np.sin(theta)
    turned_y = centre[1] + x * np.sin(theta) + y * np.cos(theta)
    return [(float(a), float(b)) for a, b in zip(turned_x, turned_y, strict=True)]
