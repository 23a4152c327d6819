"""How long one image of 3328 x 2560 takes from its file to float32, in each transfer syntax.

    python tests/benchmarks/decode.py [--rounds N]

This product's way, with the decoding process and the hash of the archive; its codec alone, called
in this process; and pydicom's ``pixel_array`` with the plugins it finds. Runs alternate. Prints
medians in milliseconds. nice -n -10 where other programs want the cores too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.store.archive import Archive
from tests.compressed import recode
from tests.mammogram_headers import header
from worker.codecs import decode_frame
from worker.decoder import decode_apart
from worker.exam.decode import CODECS
from worker.exam.pixels import read_source
from worker.reading import opened
from worker.training.phantom import phantom_exam

SYNTAXES = (
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    RLELossless,
)
Run = Callable[[], object]


def mammogram() -> Dataset:
    """A low-energy image of a phantom, uncompressed."""
    pixels = phantom_exam(1, views=[("R", "CC")]).views[0].low_energy
    ds = header("R", "CC", recombined=False, shape=pixels.shape)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def ours(path: Path) -> Run:
    return lambda: read_source(opened(path.read_bytes()), decode_apart)


def with_hash(archive: Archive, path: Path) -> Run:
    """As the worker reads: what the archive gives is what its name says."""
    sha256 = archive.put(path.read_bytes())
    return lambda: read_source(opened(archive.read(sha256)), decode_apart)


def codec_alone(path: Path, syntax: UID) -> Run | None:
    if syntax not in CODECS:
        return None
    ds = dcmread(path)
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    out = np.empty((ds.Rows, ds.Columns), np.uint16)
    return lambda: decode_frame(CODECS[syntax], frame, out)


def by_pydicom(path: Path) -> Run | None:
    run = lambda: dcmread(path).pixel_array.astype(np.float32)  # noqa: E731
    try:
        run()
    except (RuntimeError, NotImplementedError):  # no plugin of this syntax is installed
        return None
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    runs: dict[tuple[str, str], Run | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        archive, plain = Archive(Path(folder)), Path(folder) / "plain.dcm"
        mammogram().save_as(plain, enforce_file_format=True)
        for syntax in SYNTAXES:
            path = Path(folder) / f"{syntax.keyword}.dcm"
            recode(plain, path, syntax)
            runs[syntax.keyword, "ours"] = ours(path)
            runs[syntax.keyword, "with hash"] = with_hash(archive, path)
            runs[syntax.keyword, "codec"] = codec_alone(path, syntax)
            runs[syntax.keyword, "pydicom"] = by_pydicom(path)
        show(medians(runs, rounds))


def medians(runs: dict[tuple[str, str], Run | None], rounds: int) -> dict[tuple[str, str], float]:
    """Milliseconds by syntax and way."""
    found: dict[tuple[str, str], list[float]] = {}
    there = {key: run for key, run in runs.items() if run is not None}
    for _ in range(rounds):
        for key, run in there.items():
            run()  # each way finds its own file in the caches, not what the way before left there
            start = time.perf_counter()
            run()
            found.setdefault(key, []).append(1e3 * (time.perf_counter() - start))
    return {key: statistics.median(times) for key, times in found.items()}


def show(found: dict[tuple[str, str], float]) -> None:
    ways = ("ours", "with hash", "codec", "pydicom")
    print(f"{'ms':24}" + "".join(f"{way:>12}" for way in ways))  # noqa: T201
    for syntax in SYNTAXES:
        cells = (found.get((syntax.keyword, way)) for way in ways)
        row = "".join(f"{'-' if cell is None else format(cell, '.1f'):>12}" for cell in cells)
        print(f"{syntax.keyword:24}{row}")  # noqa: T201


if __name__ == "__main__":
    main()
