"""Random fields in millimetres that look the same on every pixel grid."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import scipy.fft
from PIL import Image
from scipy.ndimage import gaussian_filter

from worker.training.phantom.physics import Field

BASE_MM = 0.56
BASE_SHAPE = (512, 448)  # 287 mm x 251 mm: more than any mammography detector
_TILE = 512  # side of the tile of fine texture, in its own pixels


@dataclass(frozen=True)
class Grid:
    """Pixel grid with the chest wall at column 0, its middle row at height 0."""

    rows: int
    columns: int
    spacing_mm: float

    def __post_init__(self) -> None:
        height, width = (n * self.spacing_mm for n in (self.rows, self.columns))
        if self.rows < 1 or self.columns < 1 or self.spacing_mm <= 0:
            raise ValueError(f"grid {self}: rows, columns and spacing must be positive")
        if height > BASE_SHAPE[0] * BASE_MM or width > BASE_SHAPE[1] * BASE_MM:
            raise ValueError(
                f"grid of {height:.0f} x {width:.0f} mm: at most "
                f"{BASE_SHAPE[0] * BASE_MM:.0f} x {BASE_SHAPE[1] * BASE_MM:.0f} mm can be made; "
                "ask for fewer pixels or a smaller spacing"
            )

    def axes(self) -> tuple[Field, Field]:
        """Pixel centres in mm: depth from the chest wall (1, columns), height down (rows, 1)."""
        x = (np.arange(self.columns, dtype=np.float32) + 0.5) * self.spacing_mm
        y = (np.arange(self.rows, dtype=np.float32) + 0.5 - self.rows / 2) * self.spacing_mm
        return x[None, :].astype(np.float32), y[:, None].astype(np.float32)

    def working(self) -> Grid:
        """Where the anatomy is computed: coarser than a fine grid, never beyond ``BASE_MM``."""
        if self.spacing_mm < 0.1 and not (self.rows % 2 or self.columns % 2):  # noqa: PLR2004 -- detectors blur to about 0.1 mm anyway
            return Grid(self.rows // 2, self.columns // 2, self.spacing_mm * 2)
        k = max(1, round(self.spacing_mm / BASE_MM))
        return Grid(self.rows * k, self.columns * k, self.spacing_mm / k)

    def resample(self, base: Field, base_mm: float = BASE_MM) -> Field:
        """A field that spans ``BASE_SHAPE`` at ``base_mm`` cut and interpolated to this grid."""
        height, width = (n * self.spacing_mm / base_mm for n in (self.rows, self.columns))
        top = max(0.0, (base.shape[0] - height) / 2)
        box = (0.0, top, min(width, base.shape[1]), min(top + height, base.shape[0]))
        return resize(base, (self.rows, self.columns), box)


def resize(
    image: Field, shape: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Field:
    """Bicubic interpolation (averaging when it shrinks) of ``box`` (left, top, right, bottom)."""
    rows, columns = shape
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize((columns, rows), Image.Resampling.BICUBIC, box), np.float32)


def soften(image: Field, grid: Grid, sigma_mm: float) -> Field:
    """Gaussian blur of standard deviation ``sigma_mm``, wide ones on a coarser grid."""
    sigma = sigma_mm / grid.spacing_mm
    if sigma < 6:  # noqa: PLR2004 -- pixels; below, the detour costs more than it saves
        return np.asarray(gaussian_filter(image, sigma), np.float32)
    step = int(sigma / 3)
    coarse = resize(image, (-(-grid.rows // step), -(-grid.columns // step)))
    return resize(gaussian_filter(coarse, sigma / step), (grid.rows, grid.columns))


def stream(seed: int, *names: str) -> np.random.Generator:
    """Independent generator for one named part, so that parts never disturb each other."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def power_noise(
    rng: np.random.Generator, grid: Grid, *, beta: float, coarsest_mm: float, stretch: float = 1.0
) -> tuple[Field, Field]:
    """Two independent fields of power spectrum 1/f^beta, mean 0, unit variance, on ``grid``.

    ``coarsest_mm`` flattens the spectrum beyond that period; ``stretch`` > 1 draws the structures
    out along the rows, towards the nipple. Finer octaves join where the grid can show them.
    """
    shape = BASE_SHAPE
    white = rng.standard_normal((2, *shape), np.float32)
    fy = scipy.fft.fftfreq(shape[0], BASE_MM).astype(np.float32)[:, None]
    fx = scipy.fft.fftfreq(shape[1], BASE_MM).astype(np.float32)[None, :]
    f2 = fy * fy + (fx * stretch) ** 2
    gain = (f2 + np.float32(coarsest_mm**-2)) ** np.float32(-beta / 4)
    gain[0, 0] = 0
    # Real and imaginary part of one transform without symmetry are two independent fields.
    both = scipy.fft.ifft2((white[0] + 1j * white[1]) * gain)
    scale = np.sqrt(2.0) / np.float32(np.std(both))
    first, second = (grid.resample(np.float32(scale) * part) for part in (both.real, both.imag))
    return first, second


def fine_noise(rng: np.random.Generator, grid: Grid, period_mm: float) -> Field:
    """Band of texture around ``period_mm``, unit variance; zeros where the grid cannot show it."""
    if grid.spacing_mm > period_mm / 2:
        return np.zeros((grid.rows, grid.columns), np.float32)
    tile = rng.standard_normal((_TILE, _TILE), np.float32)
    band = gaussian_filter(tile, 0.8, mode="wrap") - gaussian_filter(tile, 1.6, mode="wrap")
    band /= band.std()
    pixel = period_mm / 4
    ny, nx = (int(np.ceil(n * grid.spacing_mm / pixel)) + 1 for n in (grid.rows, grid.columns))
    repeated = np.tile(band, (ny // _TILE + 1, nx // _TILE + 1))
    height, width = (n * grid.spacing_mm / pixel for n in (grid.rows, grid.columns))
    return resize(repeated, (grid.rows, grid.columns), (0.0, 0.0, width, height))


def lines(grid: Grid, points_mm: Field, weights: Field, width_mm: float) -> Field:
    """Soft lines through dense points: (N, 2) of (depth, height) mm, weight per mm of length.

    Value on the line is about ``weight`` for any grid: the blur of ``width_mm`` (standard
    deviation) spreads each point over its true area.
    """
    column = points_mm[:, 0] / grid.spacing_mm
    row = points_mm[:, 1] / grid.spacing_mm + grid.rows / 2
    inside = (column >= 0) & (column < grid.columns) & (row >= 0) & (row < grid.rows)
    index = row[inside].astype(np.int64) * grid.columns + column[inside].astype(np.int64)
    total = np.bincount(index, weights[inside], minlength=grid.rows * grid.columns)
    density = total.reshape(grid.rows, grid.columns).astype(np.float32) / grid.spacing_mm**2
    soft = gaussian_filter(density, max(width_mm / grid.spacing_mm, 0.4), truncate=3.0)
    return np.asarray(soft * np.float32(width_mm * np.sqrt(2 * np.pi)), np.float32)
