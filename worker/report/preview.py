"""Pictures of an analysed view, as the page and the Secondary Capture show it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from worker.contracts import FloatImage, Frame, ViewResult
from worker.report.outline import thin
from worker.report.wording import RESEARCH_USE, ascii_text, count

Overlay = Literal["outline", "heat_map", "both"]
Rgb = npt.NDArray[np.uint8]  # (height, width, 3)

PAGE = 1000  # rows of the page's pictures
LARGEST = 1664  # rows of a Secondary Capture: half of a usual detector, 6 MB of RGB

_OUTLINE_COLOUR = (255, 150, 30)  # orange stands out from grey for colour-blind readers too
_OUTLINE_HALO = (0, 0, 0)
_TEXT_COLOUR = (235, 235, 235)
_WINDOW = (1.0, 99.0)  # percentiles of the breast
_SAMPLED_ROWS = 400  # of a picture, enough for its percentiles
_STRONGEST = 0.62  # share of the heat map's colour where it is 1: the image stays visible
_SEEN = 0.05  # weaker heat leaves no colour that an eye would find
_NO_COLOUR = "heat map: nothing speaks for malignancy"
_WHOLE_BLOCKS = 1.0  # Pillow's `reducing_gap`
_PNG_LEVEL = 1  # of zlib: level 6 is 5 times slower for a tenth of the size

# Black to yellow by way of violet and orange, in even steps of lightness (CIE L* 0 to 95).
_COLOUR_STOPS = (
    (0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66),
    (245, 125, 21), (250, 193, 39), (252, 255, 164),
)  # fmt: skip


def grey_picture(pixels: FloatImage, height: int = LARGEST) -> Image.Image:
    """``pixels`` as a grey picture of ``height`` rows at most, windowed to the breast.

    The costly part of a picture: make one of each image, and ``shrunk`` copies of it.

    Parameters
    ----------
    pixels
        (rows, columns) of one image as stored, high meaning dense or enhancing.
    height
        The width keeps the shape of the image. A picture is never larger than its image.
    """
    return Image.fromarray(_windowed(_reduced(pixels, min(height, pixels.shape[0]))))


def shrunk(grey: Image.Image, height: int = PAGE) -> Image.Image:
    """A grey picture at ``height`` rows at most, by area average."""
    return grey.resize(_size(grey.size, min(height, grey.height)), Image.Resampling.BOX)


def render(grey: Image.Image, view: ViewResult, *, overlay: Overlay) -> bytes:
    """``draw`` as PNG."""
    stream = BytesIO()
    draw(grey, view, overlay=overlay).save(stream, format="PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def draw(
    grey: Image.Image, view: ViewResult, *, overlay: Overlay, lines: Sequence[str] = ()
) -> Image.Image:
    """RGB picture of ``grey`` with the lesions outlined, with the heat map over it, or both.

    Parameters
    ----------
    grey
        A ``grey_picture`` of one image of ``view``.
    overlay
        ``"heat_map"`` without a heat map gives the plain image, which says so.
    lines
        More words, below the name of the view and what is shown.
    """
    picture = grey.convert("RGB")
    notes = []
    if overlay != "outline" and view.heat_map is not None:
        heat = _on_picture(view.heat_map, view.frame, (grey.height, grey.width))
        picture = _blended(picture, heat)
        _draw_legend(picture, on_left=view.frame.flipped)
        coloured = float(view.heat_map.max()) >= _SEEN
        notes.append("colour: heat map of the classifier" if coloured else _NO_COLOUR)
    elif overlay == "heat_map":
        why = "not assessed" if view.lesions else "no lesion found"
        notes.append(f"no heat map: {why}")
    if overlay != "heat_map":
        notes.insert(0, _draw_outlines(picture, view))
    _draw_words(picture, view, [*notes[:1], *lines, *notes[1:]])
    return picture


def _size(size: tuple[int, int], height: int) -> tuple[int, int]:
    """(width, height) of the shape of ``size`` with ``height`` rows."""
    return max(1, round(size[0] * height / size[1])), height


def _reduced(pixels: FloatImage, height: int) -> FloatImage:
    """``pixels`` at ``height`` rows by area average."""
    rows, columns = pixels.shape
    # A view of the memory: Image.fromarray would copy the 34 MB of a full-size image.
    whole = np.ascontiguousarray(pixels, dtype=np.float32)
    image = Image.frombuffer("F", (columns, rows), whole, "raw", "F", 0, 1)
    # Whole blocks of pixels first, which is ten times as fast, then what is left of the way.
    small = image.resize(
        _size(image.size, height), Image.Resampling.BOX, reducing_gap=_WHOLE_BLOCKS
    )
    return np.asarray(small, dtype=np.float32)


def _windowed(small: FloatImage) -> npt.NDArray[np.uint8]:
    """Grey values 0 to 255 between the percentiles of what is not background.

    Background is what lies within 2 % of the lowest value: air takes up most of a mammogram. A
    lead marker or an implant edge must set neither limit, so that percentiles stand for both ends.
    """
    step = max(1, small.shape[0] // _SAMPLED_ROWS)
    sample = small[::step, ::step]
    lowest, highest = np.percentile(sample, (0.5, 99.5))
    breast = sample[sample > lowest + 0.02 * (highest - lowest)]
    if breast.size == 0:
        return np.zeros(small.shape, dtype=np.uint8)
    low, high = np.percentile(breast, _WINDOW)
    # Plain floats: numpy's own would turn the whole image into float64.
    grey = (small - float(low)) * (255 / max(float(high - low), 1e-6))
    return np.clip(grey, 0, 255, out=grey).astype(np.uint8)


def _on_picture(heat_map: FloatImage, frame: Frame, shape: tuple[int, ...]) -> FloatImage:
    """The heat map at each pixel of the picture, bilinear, 0 outside the analysed crop.

    Crop, mirror and scale act on rows and columns separately, so that two lists of positions
    describe the whole map.
    """
    rows, columns = shape
    y = (np.arange(rows) + 0.5) * frame.source_shape[0] / rows
    x = (np.arange(columns) + 0.5) * frame.source_shape[1] / columns
    inside = ((y >= frame.top) & (y < frame.bottom))[:, None] & (
        (x >= frame.left) & (x < frame.right)
    )
    from_edge = frame.right - x if frame.flipped else x - frame.left
    network_x = from_edge * frame.scale + frame.pad_x
    network_y = (y - frame.top) * frame.scale + frame.pad_y
    # Across first: the long way down then runs over whole rows of memory.
    across = np.ascontiguousarray(_interpolated(heat_map.T, network_x).T)
    return _interpolated(across, network_y) * inside


def _interpolated(lines: FloatImage, at: npt.NDArray[np.float64]) -> FloatImage:
    """Lines of an array at positions ``at``, whose 0 is the edge of the first line."""
    last = len(lines) - 1
    centre = np.clip(at - 0.5, 0, last)
    low = np.minimum(centre.astype(np.int64), max(last - 1, 0))
    share = (centre - low)[:, None].astype(np.float32)
    mixed = lines[low] * (1 - share) + lines[np.minimum(low + 1, last)] * share
    return np.asarray(mixed, dtype=np.float32)


@lru_cache(maxsize=1)
def _colours() -> Rgb:
    """256 colours of the heat map."""
    stops = np.array(_COLOUR_STOPS, dtype=np.float64)
    at = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)


def _blended(picture: Image.Image, heat: FloatImage) -> Image.Image:
    """Weak heat leaves the image as it is, strong heat colours it."""
    level = (np.clip(heat, 0.0, 1.0) * 255).astype(np.uint8)
    colour = Image.fromarray(level)
    colour.putpalette(_colours().tobytes())
    share = Image.fromarray((level * np.float32(_STRONGEST)).astype(np.uint8))
    return Image.composite(colour.convert("RGB"), picture, share)


def _draw_outlines(picture: Image.Image, view: ViewResult) -> str:
    """Each lesion's outline and number; returns what was found, in words."""
    shape, source_shape = (picture.height, picture.width), view.frame.source_shape
    factor = np.array([shape[1] / source_shape[1], shape[0] / source_shape[0]])
    width = max(2, shape[0] // 400)
    font = _font(shape)
    pen = ImageDraw.Draw(picture)
    for number, lesion in enumerate(view.lesions, start=1):
        points = thin(lesion.outline, source_shape) * factor - 0.5
        line = [(float(x), float(y)) for x, y in points]
        pen.line(line, fill=_OUTLINE_HALO, width=width + 2, joint="curve")
        pen.line(line, fill=_OUTLINE_COLOUR, width=width, joint="curve")
        x, y = points.max(axis=0)
        label = (min(float(x) + 4, shape[1] - 2 * font.size), min(float(y), shape[0] - font.size))
        pen.text(label, str(number), fill=_OUTLINE_COLOUR, font=font, stroke_width=1,
                 stroke_fill=_OUTLINE_HALO)  # fmt: skip
    found = len(view.lesions)
    return count(found, "lesion") if found else "no lesion found"


def _draw_words(picture: Image.Image, view: ViewResult, notes: Sequence[str]) -> None:
    """View and side at the top, the research notice at the bottom, away from the chest wall."""
    font = _font((picture.height, picture.width))
    margin = font.size / 2
    pen = ImageDraw.Draw(picture)
    lines = [
        (words, margin + 1.3 * font.size * number)
        for number, words in enumerate([ascii_text(view.pair.name), *notes])
    ]
    for words, y in (*lines, (RESEARCH_USE, picture.height - margin - 1.2 * font.size)):
        # The words keep off the breast, which lies at the right edge of a mirrored image.
        across = margin + pen.textlength(words, font=font)
        x = margin if view.frame.flipped else picture.width - across
        pen.text((x, y), words, fill=_TEXT_COLOUR, font=font, stroke_width=1,
                 stroke_fill=_OUTLINE_HALO)  # fmt: skip


def _draw_legend(picture: Image.Image, *, on_left: bool) -> None:
    """A colour scale from 0 to 1 above the notice, on the side away from the chest wall."""
    pen = ImageDraw.Draw(picture)
    font = _font((picture.height, picture.width))
    bar = (int(0.8 * font.size), picture.height // 4)
    scale = np.repeat(_colours()[::-1][:, None, :], 4, axis=1)
    top = picture.height - bar[1] - int(3 * font.size)
    left = int(0.5 * font.size) if on_left else picture.width - bar[0] - int(1.5 * font.size)
    picture.paste(Image.fromarray(scale).resize(bar), (left, top))
    for words, y in (("1", top), ("0", top + bar[1] - font.size)):
        pen.text((left + bar[0] + 4, y), words, fill=_TEXT_COLOUR, font=font)


@lru_cache(maxsize=4)
def _font_of_size(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType: install its binary wheel.")
    return font


def _font(shape: tuple[int, ...]) -> ImageFont.FreeTypeFont:
    return _font_of_size(max(10, shape[0] // 55))
