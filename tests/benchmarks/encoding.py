"""How long the result objects of an exam take, at full size, with a warm process.

    python tests/benchmarks/encoding.py [--rounds N]

One mask of 3328 x 2560 as a Segmentation, by highdicom from the whole image and by this product;
then the whole result set of an exam of four views, all of them with a lesion, without and with the
pictures that are drawn for it. Runs alternate. Prints medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import highdicom as hd
import numpy as np

from dicom_node.domain.dicom_file import file_bytes
from tests.analysis_builders import Spot, analysis, finding, view_result
from worker.report import codes
from worker.report.encode import encode
from worker.report.identity import named_views
from worker.report.preview import draw, grey_picture
from worker.report.seg import segmentation, warm_up

SHAPE = (3328, 2560)
SPOT = Spot(x=1200.0, y=1500.0, radius=160.0)
NOTHING: Mapping[str, Any] = MappingProxyType({})


def by_highdicom(view: Any) -> bytes:
    """The same mask as highdicom writes it when it is handed the image and the mask."""
    image = view.result.recombined.copy()
    image.PixelData = b""
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="lesion",
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.ENHANCING_LESION,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    made = hd.seg.Segmentation(
        source_images=[image],
        pixel_array=view.result.lesions[0].mask[None].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[described],
        series_instance_uid="2.25.1",
        series_number=1,
        sop_instance_uid="2.25.2",
        instance_number=1,
        manufacturer="a benchmark",
        manufacturer_model_name="a benchmark",
        software_versions="0",
        device_serial_number="0",
    )
    return file_bytes(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    breasts = [
        finding(side, *(view_result(side, view, (SPOT,), shape=SHAPE) for view in ("CC", "MLO")))
        for side in ("R", "L")
    ]
    made = analysis(*breasts)
    views = list(named_views(made))
    rng = np.random.default_rng(0)
    pixels = rng.normal(1000, 50, SHAPE).astype(np.float32)

    def pictures() -> dict[str, Any]:
        grey = grey_picture(pixels)
        return {v.key: draw(grey, v.result, overlay="both", lines=[]) for v in views}

    ready = pictures()
    runs: dict[str, Callable[[], object]] = {
        "one mask, highdicom": lambda: by_highdicom(views[0]),
        "one mask, ours": lambda: file_bytes(segmentation(made, views[0])),
        "result set without pictures": lambda: encode(made, NOTHING),
        "result set with pictures": lambda: encode(made, ready),
    }
    warm_up()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.monotonic()
            run()
            if number:  # the first round is for the caches
                seconds[name].append(time.monotonic() - start)
    size = sum(len(r.content) for r in encode(made, ready)) / 1e6
    for name, found in seconds.items():
        print(f"{name:30} {statistics.median(found):7.3f} s")  # noqa: T201
    print(f"{'the whole result set':30} {size:7.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
