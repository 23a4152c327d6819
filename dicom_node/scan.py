"""The header of a received file, before anything of it is believed; and of one that is kept."""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from dicom_node.domain.dicom_file import HEAD, data_set_offset
from dicom_node.domain.dimse import INPUT_CLASSES, NATIVE_SYNTAXES
from dicom_node.domain.elements import READ
from dicom_node.domain.header import InputRule, header_from
from dicom_node.domain.instance import InstanceHeader
from dicom_node.domain.structure import BLOCK, Encoding, Pixels, walk
from dicom_node.errors import ArchiveError, CannotUnderstand, FapsNodeError, Unreadable


def scan(path: Path, transfer_syntax_uid: str, rule: InputRule) -> InstanceHeader:
    """Read the header of a spooled file; an image's pixels must be as long as it says.

    The structure is walked first, within ``rule.limits``; only elements that the product reads are
    then decoded.

    Raises
    ------
    CannotUnderstand
        When the bytes are no data set, pass a limit, or are an image without all of its pixels.

    """
    syntax = UID(transfer_syntax_uid)
    encoding = Encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    with path.open("rb", buffering=0) as file:
        try:
            begin = data_set_offset(os.pread(file.fileno(), HEAD, 0))
            size = os.fstat(file.fileno()).st_size
            found = walk(
                lambda offset, length: os.pread(file.fileno(), length, offset),
                begin,
                size,
                encoding,
                rule.limits,
                READ,
            )
            ds = _decoded(file, sorted(found.places.values()), encoding)
            header = header_from(ds, transfer_syntax_uid=transfer_syntax_uid, rule=rule)
            if header.sop_class_uid in INPUT_CLASSES:
                _check_pixels(found.pixels, ds, syntax)
        except (FapsNodeError, OSError):
            raise
        except Exception as error:
            # pydicom raises almost anything on damaged bytes; the sender needs one answer.
            raise CannotUnderstand(f"not a readable data set: {type(error).__name__}") from error
    return header


def stored(path: Path, keywords: Iterable[str]) -> Dataset:
    """Those of these elements that an object of the archive has; its hash is not checked.

    Raises
    ------
    ArchiveError
        When it is missing or no DICOM object.

    """
    tags: list[BaseTag | int] = [Tag(keyword) for keyword in keywords]
    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (OSError, InvalidDicomError) as error:
        reason = type(error).__name__
        raise ArchiveError(f"object {path.name[:12]}… cannot be read: {reason}") from None


def _decoded(file: BinaryIO, places: list[tuple[int, int]], encoding: Encoding) -> Dataset:
    """The elements that lie at ``places``, as a data set of their own."""
    first = os.pread(file.fileno(), BLOCK, places[0][0]) if places else b""
    base = places[0][0] if places else 0
    parts = [
        first[begin - base : end - base]
        if end - base <= len(first)
        else os.pread(file.fileno(), end - begin, begin)
        for begin, end in places
    ]
    stream = BytesIO(b"".join(parts))
    return read_dataset(stream, encoding.implicit, encoding.little_endian)


def _check_pixels(pixels: Pixels | None, ds: Dataset, syntax: UID) -> None:
    """Compare the pixels that are there with what the header promises (PS3.5 8.1, A.4)."""
    if pixels is None:
        raise CannotUnderstand("an image without Pixel Data", Unreadable.NO_PIXEL_DATA)
    frames = int(ds.get("NumberOfFrames") or 1)
    if syntax not in NATIVE_SYNTAXES:
        if pixels.fragments is None or pixels.fragments < frames:
            raise CannotUnderstand(
                f"compressed Pixel Data has {pixels.fragments or 0} fragments for {frames} frames",
                Unreadable.FRAGMENTS,
            )
        return
    if pixels.fragments is not None:
        raise CannotUnderstand(
            "Pixel Data in fragments, in an uncompressed transfer syntax", Unreadable.FRAGMENTS
        )
    bits = int(ds.get("BitsAllocated") or 0) * int(ds.get("SamplesPerPixel") or 1)
    frame = int(ds.get("Rows") or 0) * int(ds.get("Columns") or 0) * bits // 8
    promised = frame * frames
    # Some senders pad; no sender adds a frame by accident.
    if promised <= 0 or not promised <= pixels.length < promised + frame:
        raise CannotUnderstand(
            f"Pixel Data holds {pixels.length} bytes, the header says {promised}",
            Unreadable.PIXEL_LENGTH,
        )
