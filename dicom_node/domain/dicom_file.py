"""A data set as the bytes of a DICOM file."""

from __future__ import annotations

import struct
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION

HEAD = 144  # bytes of preamble, prefix and the first element of the file meta information


def file_bytes(ds: Dataset) -> bytes:
    """``ds`` as a DICOM file in Explicit VR Little Endian (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    ds.file_meta = meta
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble and File Meta Information of a data set that follows as it came (PS3.10 7.1).

    Made without a data set: it is needed for every object that comes. The same object has the
    same head from whichever sender, or its content would have another hash each time.
    """
    elements = b"".join(
        [
            _meta(0x0001, b"OB", b"\x00\x01"),
            _meta(0x0002, b"UI", _padded(sop_class_uid, b"\0")),
            _meta(0x0003, b"UI", _padded(sop_instance_uid, b"\0")),
            _meta(0x0010, b"UI", _padded(transfer_syntax_uid, b"\0")),
            _meta(0x0012, b"UI", _padded(IMPLEMENTATION_CLASS_UID, b"\0")),
            _meta(0x0013, b"SH", _padded(IMPLEMENTATION_VERSION, b" ")),
        ]
    )
    length = _meta(0x0000, b"UL", struct.pack("<I", len(elements)))
    return bytes(128) + b"DICM" + length + elements


def data_set_offset(head: bytes) -> int:
    """Where the data set of a file begins, from its first ``HEAD`` bytes (PS3.10 7.1).

    Raises
    ------
    ValueError
        When they are no preamble and prefix with a group length behind them.

    """
    if head[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00" or len(head) < HEAD:
        raise ValueError("no DICOM file with a group length in its file meta information")
    return HEAD + int.from_bytes(head[140:HEAD], "little")


def _meta(element: int, vr: bytes, value: bytes) -> bytes:
    """One element of group 0002, Explicit VR Little Endian; OB has a long length (PS3.5 7.1.2)."""
    form = "<HH2s2xI" if vr == b"OB" else "<HH2sH"
    return struct.pack(form, 0x0002, element, vr, len(value)) + value


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    return value + padding * (len(value) % 2)
