"""A whole synthetic exam with its truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from worker.training.phantom.breast import anatomy, inside_mm, nipple_row_mm, tissue
from worker.training.phantom.field import Grid, stream
from worker.training.phantom.image import Pixels, expose
from worker.training.phantom.lesion import Body, Mask, cast, grow, outline_mask, place_in, project
from worker.training.phantom.physics import Field

VIEWS = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))


@dataclass(frozen=True)
class PhantomLesion:
    """Truth of one lesion; lengths in mm, position from the chest wall or the nipple's plane."""

    malignant: bool
    radius_mm: float
    depth_mm: float
    lateral_mm: float
    superior_mm: float
    iodine_mg_cm2: float


@dataclass(frozen=True)
class PhantomView:
    """One view: the pair as shown with the lesions' masks, all (rows, columns), stored orientation.

    A right breast has its chest wall at the last column, a left one at the first.
    ``malignant`` is None where there is no lesion, else whether any of them is malignant.
    """

    laterality: str
    view: str
    low_energy: Pixels
    recombined: Pixels
    mask: Mask
    spacing_mm: float
    malignant: bool | None
    lesion_masks: tuple[Mask, ...]


@dataclass(frozen=True)
class PhantomExam:
    """All views of one synthetic woman; ``lesions`` by laterality."""

    seed: int
    views: tuple[PhantomView, ...]
    lesions: Mapping[str, tuple[PhantomLesion, ...]]


def phantom_exam(
    seed: int,
    *,
    rows: int = 3328,
    columns: int = 2560,
    spacing_mm: float = 0.07,
    lesions: Mapping[str, int] | None = None,
    malignant: bool | None = None,
    views: Sequence[tuple[str, str]] = VIEWS,
) -> PhantomExam:
    """Synthetic contrast-enhanced mammography, the same for a seed however it is asked for.

    Parameters
    ----------
    seed
        Not negative. Decides woman, lesions, noise.
    rows, columns, spacing_mm
        Pixel grid. The breast keeps its size in mm: a coarser grid shows the same breast.
    lesions
        Count per side, ``{"R": 1, "L": 0}``; None puts one lesion into the side the seed picks.
    malignant
        Of all lesions; None lets the seed decide for each.
    views
        Pairs of laterality with view; only these are computed.

    Raises
    ------
    ValueError
        A view other than CC or MLO of L or R, or a grid larger than 287 mm x 251 mm.
    """
    counts = _counts(seed, lesions)
    bodies = {
        side: _bodies(seed, side, counts.get(side, 0), malignant=malignant) for side in ("R", "L")
    }
    grid = Grid(rows, columns, spacing_mm)
    return PhantomExam(
        seed=seed,
        views=tuple(_view(seed, side, view, grid, bodies[side]) for side, view in _known(views)),
        lesions={side: tuple(_truth(body) for body in found) for side, found in bodies.items()},
    )


def _known(views: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    for side, view in views:
        if side not in {"L", "R"} or view not in {"CC", "MLO"}:
            raise ValueError(f"view {side} {view}: the phantom knows L and R, CC and MLO")
    return views


def _counts(seed: int, lesions: Mapping[str, int] | None) -> Mapping[str, int]:
    if lesions is None:
        return {str(stream(seed, "which side").choice(["R", "L"])): 1}
    if unknown := set(lesions) - {"L", "R"}:
        raise ValueError(f"lesions in {sorted(unknown)}: sides are L and R")
    return lesions


def _bodies(seed: int, side: str, count: int, *, malignant: bool | None) -> tuple[Body, ...]:
    found: list[Body] = []
    for number in range(count):
        rng = stream(seed, "lesion", side, str(number))
        coin = bool(rng.random() < 0.5)  # noqa: PLR2004 -- half and half
        body = grow(rng, malignant=coin if malignant is None else malignant)
        found.append(_placed(rng, seed, side, body, found))
    return tuple(found)


def _placed(
    rng: np.random.Generator, seed: int, side: str, body: Body, others: Sequence[Body]
) -> Body:
    """The body where both views show it whole, apart from the others."""
    shape = anatomy(seed, side)
    best, best_room = body, -np.inf
    for _ in range(60):
        tried = replace(
            body,
            depth=float(rng.uniform(0.22, 0.85) * shape.depth),
            lateral=float(rng.normal(10, 22)),
            superior=float(rng.normal(8, 20)),
        )
        room = min(
            tried.depth - body.radius - 4,
            *(_depth_under_skin(seed, side, tried, v) - body.radius - 7 for v in ("CC", "MLO")),
            *(_gap(tried, other) for other in others),
        )
        if room > best_room:
            best, best_room = tried, room
        if room > 0:
            break
    return best


def _gap(one: Body, other: Body) -> float:
    """Free distance between two bodies in the closer of the two views, mm."""
    apart = min(
        float(np.hypot(*np.subtract(place_in(one, view), place_in(other, view))))
        for view in ("CC", "MLO")
    )
    return apart - one.radius - other.radius - 8


def _depth_under_skin(seed: int, side: str, body: Body, view: str) -> float:
    depth, height = place_in(body, view)
    x, y = np.full((1, 1), depth, np.float32), np.full((1, 1), height, np.float32)
    return float(inside_mm(anatomy(seed, side), view, x, y)[0, 0])


def _view(seed: int, side: str, view: str, grid: Grid, bodies: Sequence[Body]) -> PhantomView:
    working = grid.working()
    breast = tissue(seed, side, view, working)
    row = nipple_row_mm(view)
    iodine, gland = breast.iodine_mg_cm2, breast.gland_cm
    masks: list[Mask] = []
    for body in bodies:
        shadow = project(body, view)
        iodine = iodine + cast(shadow, shadow.iodine_mg_cm2, working, row)
        gland = gland + _displaced(
            cast(shadow, shadow.path_mm, working, row), breast.thickness_cm, gland
        )
        masks.append(outline_mask(shadow, grid, row))
    breast = replace(breast, iodine_mg_cm2=iodine, gland_cm=gland)
    pair = expose(breast, working, grid, stream(seed, "noise", side, view))
    # Made with the chest wall on the left; a right breast is stored mirrored (PS3.3 C.7.6.1.1.1).
    flip = (slice(None), slice(None, None, -1) if side == "R" else slice(None))
    union = np.logical_or.reduce(masks) if masks else np.zeros((grid.rows, grid.columns), np.bool_)
    return PhantomView(
        laterality=side,
        view=view,
        low_energy=np.ascontiguousarray(pair.low_energy[flip]),
        recombined=np.ascontiguousarray(pair.recombined[flip]),
        mask=np.ascontiguousarray(union[flip]),
        spacing_mm=grid.spacing_mm,
        malignant=any(body.malignant for body in bodies) if bodies else None,
        lesion_masks=tuple(np.ascontiguousarray(mask[flip]) for mask in masks),
    )


def _displaced(path_mm: Field, thickness_cm: Field, gland_cm: Field) -> Field:
    """Extra gland-like path in cm: the mass takes the place of the tissue that was there."""
    path_cm = path_mm * np.float32(0.1)
    share = gland_cm / np.maximum(thickness_cm, 0.1)
    return np.asarray(np.minimum(path_cm * (1 - share), thickness_cm - gland_cm), np.float32)


def _truth(body: Body) -> PhantomLesion:
    return PhantomLesion(
        malignant=body.malignant,
        radius_mm=body.radius,
        depth_mm=body.depth,
        lateral_mm=body.lateral,
        superior_mm=body.superior,
        iodine_mg_cm2=body.iodine_mg_cm2,
    )
