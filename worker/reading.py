"""An exam's files decoded ahead of their use."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.domain.exam import Excluded, ViewPair
from dicom_node.domain.instance import InstanceHeader
from dicom_node.errors import FapsNodeError, PixelDecodeError, UnsuitableExam
from worker.contracts import PreparedView, SourceImage
from worker.decoder import decode_apart
from worker.exam.pixels import prepare, read_source
from worker.stopwatch import Stopwatch

PIXELS = Tag("PixelData")
PIXEL_DATA = b"\xe0\x7f\x10\x00"  # the tag in little endian
READ_AHEAD = 2  # views decoded while another is analysed: two keep a second core busy


@dataclass(frozen=True)
class Source:
    """One image of the exam: its header, and where its file's bytes come from."""

    header: InstanceHeader
    read: Callable[[], bytes]


@dataclass(frozen=True)
class ReadView:
    """A view decoded and brought onto the network's grid."""

    pair: ViewPair
    low_energy: SourceImage
    recombined: SourceImage
    prepared: PreparedView


def read_views(
    views: Sequence[ViewPair],
    sources: Sequence[Source],
    grid: tuple[int, int],
    failed: list[Excluded],
    stopwatch: Stopwatch,
) -> Iterator[ReadView]:
    """The views in order, the next ones under way while this one is used.

    Images whose pixels cannot be read go to ``failed`` with the reason; the others go on.
    """
    read = {source.header.sop_instance_uid: source.read for source in sources}

    def one(view: ViewPair) -> ReadView:
        low_energy, recombined = (
            read_source(opened(read[header.sop_instance_uid]()), decode_apart)
            for header in (view.low_energy, view.recombined)
        )
        return ReadView(view, low_energy, recombined, prepare(low_energy, recombined, grid))

    with ThreadPoolExecutor(max_workers=READ_AHEAD) as pool:
        for view, future in [(view, pool.submit(one, view)) for view in views]:
            with stopwatch.stage("read"):
                problem = future.exception()
            if problem is None:
                yield future.result()
            elif isinstance(problem, (PixelDecodeError, UnsuitableExam)):
                failed += _excluded(view, problem)
            else:
                raise problem


def opened(content: bytes) -> Dataset:
    """A DICOM file as a data set; uncompressed pixels stay where they are in ``content``."""
    stream = io.BytesIO(content)
    ds = dcmread(stream, stop_before_pixels=True)
    start = stream.tell()
    syntax = ds.file_meta.TransferSyntaxUID
    explicit = syntax == ExplicitVRLittleEndian
    if not explicit and syntax != ImplicitVRLittleEndian:
        return dcmread(io.BytesIO(content))
    # PS3.5 7.1.2 and 7.1.3: tag, then VR and two bytes of nothing where it is explicit, length.
    at = start + (12 if explicit else 8)
    length = int.from_bytes(content[at - 4 : at], "little")
    if content[start : start + 4] != PIXEL_DATA or at + length > len(content):
        return dcmread(io.BytesIO(content))
    pixels = memoryview(content)[at : at + length]
    ds[PIXELS] = DataElement(PIXELS, "OW", pixels, already_converted=True)
    return ds


def _excluded(view: ViewPair, problem: FapsNodeError) -> list[Excluded]:
    return [
        Excluded(header.sop_instance_uid, problem.code, f"{view.name}: {problem}")
        for header in (view.low_energy, view.recombined)
    ]


def read_headers(sources: Sequence[Source], views: Iterable[ReadView] = ()) -> tuple[Dataset, ...]:
    """The whole header of every image, for the references and the identity of the report.

    Images of ``views`` were read already; the others are opened for their headers.
    """
    known = {
        str(image.ds.SOPInstanceUID): image.ds
        for view in views
        for image in (view.low_energy, view.recombined)
    }
    return tuple(
        known.get(source.header.sop_instance_uid)
        or dcmread(io.BytesIO(source.read()), stop_before_pixels=True)
        for source in sources
    )
