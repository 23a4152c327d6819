"""The header of a received file, read before anything of it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.domain.dimse import INPUT_CLASSES, NATIVE_SYNTAXES
from dicom_node.domain.header import InputRule, header_from
from dicom_node.domain.instance import InstanceHeader
from dicom_node.errors import CannotUnderstand, FapsNodeError

_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_PIXEL_DATA_BIG_ENDIAN = b"\x7f\xe0\x00\x10"
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"


def scan(path: Path, transfer_syntax_uid: str, rule: InputRule) -> InstanceHeader:
    """Read the header of a spooled file; an image's pixels must be as long as it says.

    Raises
    ------
    CannotUnderstand
        When the bytes are no data set, or an image without or with too few pixels.

    """
    with path.open("rb") as file:
        try:
            ds = dcmread(file, stop_before_pixels=True)
            header = header_from(ds, transfer_syntax_uid=transfer_syntax_uid, rule=rule)
        except FapsNodeError:
            raise
        except Exception as error:
            # pydicom raises almost anything on damaged bytes; the sender needs one answer.
            raise CannotUnderstand(f"not a readable data set: {type(error).__name__}") from error
        if header.sop_class_uid in INPUT_CLASSES:
            _check_pixels(file, path.stat().st_size, ds, UID(transfer_syntax_uid))
    return header


def _check_pixels(file: BinaryIO, size: int, ds: Dataset, syntax: UID) -> None:
    """Compare what follows the header with what the header promises (PS3.5 8.1, A.4)."""
    head = file.read(12)
    if head[:4] not in {_PIXEL_DATA, _PIXEL_DATA_BIG_ENDIAN}:
        raise CannotUnderstand("an image without Pixel Data")
    if syntax not in NATIVE_SYNTAXES:
        _check_fragments(file, size)
        return
    implicit = syntax.is_implicit_VR
    start = file.tell() - (4 if implicit else 0)
    length = int.from_bytes(
        head[4:8] if implicit else head[8:12], "little" if syntax.is_little_endian else "big"
    )
    bits = int(ds.get("BitsAllocated") or 0) * int(ds.get("SamplesPerPixel") or 1)
    pixels = int(ds.get("Rows") or 0) * int(ds.get("Columns") or 0)
    promised = pixels * int(ds.get("NumberOfFrames") or 1) * bits // 8
    if length < promised or promised == 0:
        raise CannotUnderstand(f"Pixel Data holds {length} bytes, the header says {promised}")
    if start + length > size:
        raise CannotUnderstand(f"Pixel Data is cut off {start + length - size} bytes early")


def _check_fragments(file: BinaryIO, size: int) -> None:
    """Walk the items of encapsulated Pixel Data to their delimiter (PS3.5 A.4)."""
    while True:
        item = file.read(8)
        if item[:4] == _SEQUENCE_DELIMITER:
            return
        if item[:4] != _ITEM:
            raise CannotUnderstand("compressed Pixel Data is cut off or damaged")
        length = int.from_bytes(item[4:8], "little")
        if file.tell() + length > size:
            raise CannotUnderstand("compressed Pixel Data is cut off")
        file.seek(length, 1)
