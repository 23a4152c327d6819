"""OHIF's published build before an archive with DICOMweb, used as a reader uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from tests.viewers.chromium import HEIGHT, WIDTH, Chromium, Tab
from tests.viewers.npm import package
from tests.viewers.site import DICOMWEB, site

VERSION = "3.13.2"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="

# What a site sets: docs/viewers.md.
SETTINGS = f"""window.config = {{
  routerBasename: '/', showStudyList: true, extensions: [], modes: [], customizationService: {{}},
  maxNumberOfWebWorkers: 1, investigationalUseDialog: {{ option: 'never' }},
  defaultDataSourceName: 'archive',
  dataSources: [{{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'archive',
    configuration: {{
      friendlyName: 'archive', name: 'archive',
      qidoRoot: location.origin + '{DICOMWEB}', wadoRoot: location.origin + '{DICOMWEB}',
      wadoUriRoot: location.origin + '{DICOMWEB}',
      imageRendering: 'wadors', thumbnailRendering: 'wadors', enableStudyLazyLoad: false,
      qidoSupportsIncludeField: false, supportsFuzzyMatching: false, supportsWildcard: true,
      singlepart: 'bulkdata,pdf,video', omitQuotationForMultipartRequest: true,
      bulkDataURI: {{ enabled: true }},
    }},
  }}],
}};
"""
# The tour of a first visit would lie over the images.
NO_TOUR = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']));"

LISTED = """() => window.services.displaySetService.getActiveDisplaySets().map(set => ({
    id: set.displaySetInstanceUID, series: set.SeriesInstanceUID, modality: set.Modality,
    description: set.SeriesDescription || '', unsupported: Boolean(set.unsupported) }))"""
# The active viewport: its image, where the image's corners and its own edges are on the page, what
# annotations are drawn in it.
SHOWN = """() => {
    const grid = window.services.viewportGridService;
    const id = grid.getActiveViewportId();
    const port = window.services.cornerstoneViewportService.getCornerstoneViewport(id);
    const image = port && port.getCurrentImageId && port.getCurrentImageId();
    if (!image || !port.getActors().length) return null;
    const header = window.cornerstone.metaData.get('instance', image);
    const frame = port.element.getBoundingClientRect();
    const onPage = (column, row) => {
        const world = window.cornerstone.utilities.imageToWorldCoords(image, [column, row]);
        const [x, y] = port.worldToCanvas(world);
        return [x + frame.left, y + frame.top];
    };
    const drawn = port.element.querySelectorAll('svg.svg-layer path, svg.svg-layer polyline');
    const words = port.element.querySelectorAll('svg.svg-layer text');
    return {
        port: id, sop: header.SOPInstanceUID, rows: header.Rows, columns: header.Columns,
        corners: [onPage(0, 0), onPage(header.Columns, 0), onPage(0, header.Rows)],
        frame: [frame.left, frame.top, frame.right, frame.bottom],
        lines: [...drawn].map(line => line.getBoundingClientRect())
            .map(box => [box.left, box.top, box.right, box.bottom]),
        words: [...words].map(text => [...text.childNodes].map(one => one.textContent).join(' ')),
    };
}"""
SEGMENTS = """id => {
    const found = window.services.segmentationService.getSegmentation(id);
    return found && Object.values(found.segments).map(segment => segment.label);
}"""
SWITCH = """(port, on) => {
    const { state, config } = window.cornerstoneTools.segmentation;
    for (const one of state.getSegmentationRepresentations(port, {}))
        config.visibility.setSegmentationRepresentationVisibility(
            port, { segmentationId: one.segmentationId, type: one.type }, on);
    window.services.cornerstoneViewportService.getCornerstoneViewport(port).render();
}"""
WORDS = "() => document.body.innerText"
YES = "[data-cy='yes-hydrate-btn']"


@dataclass(frozen=True)
class Shown:
    """An image in the viewport; ``corners`` are x, y of its origin, last column, last row."""

    port: str
    sop: str
    rows: int
    columns: int
    corners: list[list[float]]
    frame: list[float]
    lines: list[list[float]]
    words: list[str]

    def on_page(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) columns and rows of the image as x, y of the page."""
        first, across, down = np.array(self.corners)
        share = np.asarray(points, float) / [self.columns, self.rows]
        return first + share[:, :1] * (across - first) + share[:, 1:] * (down - first)

    def mask_on_page(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the image as one of the page, (HEIGHT, WIDTH) bool."""
        first, across, down = np.array(self.corners)[:, ::-1]  # row, column of the page
        step = np.stack([(down - first) / self.rows, (across - first) / self.columns], axis=1)
        back = np.linalg.inv(step)
        middle = back @ (0.5 - first) - 0.5  # of the page's first pixel, in the image
        moved = ndimage.affine_transform(
            mask.astype(np.uint8), back, middle, output_shape=(HEIGHT, WIDTH), order=0
        )
        return self.within(moved.astype(bool))

    def on_image(self, page: np.ndarray) -> np.ndarray:
        """The page with 0 beside the image: without the viewer's own words and buttons."""
        return self.within(page) * self.mask_on_page(np.ones((self.rows, self.columns)))[..., None]

    def within(self, page: np.ndarray) -> np.ndarray:
        """The page, or a mask of it, with 0 beside the viewport."""
        left, top, right, bottom = (round(edge) for edge in self.frame)
        kept = np.zeros_like(page)
        kept[top:bottom, left:right] = page[top:bottom, left:right]
        return kept


class Ohif:
    """One study opened in the viewer."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    def series(self) -> list[dict[str, Any]]:
        return list(self.tab.ask(LISTED))

    def open_series(self, uid: str) -> str:
        """Double click on the series in the list; the viewer's name of it."""
        (one,) = [listed for listed in self.series() if listed["series"] == uid]
        self.tab.double_click(f"[id='thumbnail-{one['id']}']")
        return str(one["id"])

    def say_yes(self) -> None:
        """Do you want to open this Segmentation? It is asked in the viewport."""
        self.tab.click(YES)

    def segments(self, name: str) -> list[str]:
        return list(self.tab.wait_for("the segmentation to load", SEGMENTS, name))

    def shown(self) -> Shown:
        return Shown(**self.tab.wait_for("an image in the viewport", SHOWN))

    def switch_segmentation(self, *, on: bool) -> None:
        self.tab.ask(SWITCH, self.shown().port, on)

    def touch(self) -> None:
        """Move the image a little, as readers do: OHIF may draw a report's regions only then."""
        left, top, right, bottom = self.shown().frame
        x, y = left + (right - left) / 4, top + (bottom - top) / 2
        self.tab.drag((x, y), (x + 12, y), "middle")

    def words(self) -> str:
        return re.sub(r"\s+", " ", self.tab.ask(WORDS))


@contextmanager
def ohif(browser: Chromium, archive: str, study: str, series: int) -> Iterator[Ohif]:
    """The viewer with ``study`` open: all of its ``series`` listed, its first image drawn."""
    build = package("@ohif/app", VERSION, SHA512) / "dist"
    pages = {"/app-config.js": SETTINGS.encode()}
    with site(build, archive, pages) as address, browser.tab(NO_TOUR) as tab:
        tab.open(f"{address}/viewer?StudyInstanceUIDs={study}")
        tab.wait_for(
            f"{series} series in OHIF's list",
            f"count => new Set(({LISTED})().map(set => set.series)).size >= count", series,
        )  # fmt: skip
        viewer = Ohif(tab)
        viewer.shown()
        tab.picture_at_rest()
        yield viewer
