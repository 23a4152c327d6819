"""Where fuzzing begins: valid bytes of every kind, and what was once found."""

from __future__ import annotations

from pathlib import Path

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicom_node.domain.dicom_file import file_head
from tests.fuzz.object_targets import SYNTAXES
from tests.headers import MG_FOR_PRESENTATION, code, dataset_of, image_ds
from tests.raw_sender import MG, associate_rq, c_echo_rq, c_store_rq, pdu, pdv

CORPUS = Path(__file__).with_name("corpus")


def found(target: str) -> list[bytes]:
    """What once broke this target, minimised."""
    return [path.read_bytes() for path in sorted(CORPUS.glob(f"{target}-*.bin"))]


def data_sets() -> list[bytes]:
    """One mammogram in each encoding."""
    return [_data_set(syntax) for syntax in SYNTAXES]


def _data_set(syntax: UID) -> bytes:
    ds = image_ds(
        Rows=8,
        Columns=6,
        BitsAllocated=16,
        SpecificCharacterSet="ISO_IR 100",
        AcquisitionDateTime="20260101120000",
        PatientOrientation=["P", "FL"],
        IrradiationEventUID=["1.2.3", "1.2.4"],
        SourceImageSequence=[dataset_of(ReferencedSOPInstanceUID="1.2.9")],
        DerivationCodeSequence=[code("113069", "DCM")],
    )
    ds.private_block(0x0045, "GEMS_SENO_02", create=True).add_new(0x1B, "LO", "RCC")
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
    if not syntax.is_compressed:
        ds.add_new("PixelData", "OW", bytes(96))
    write_dataset(stream, ds)
    content = bytes(stream.getvalue())
    if syntax.is_compressed:
        fragments = b"\xfe\xff\x00\xe0" + bytes(4) + b"\xfe\xff\x00\xe0\x04\0\0\0JPEG"
        content += b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + fragments
        content += b"\xfe\xff\xdd\xe0" + bytes(4)
    return content


def _pdata() -> list[bytes]:
    object_ = _data_set(SYNTAXES[0])
    store = pdv(c_store_rq(MG, "1.2.3"), command=True)
    parts = pdv(object_[:100], command=False, last=False) + pdv(object_[100:], command=False)
    echo = pdv(c_echo_rq(), command=True, context=3)
    both = pdu(4, (pdv(b"ab", command=False, last=False) + pdv(b"", command=False))[6:])
    return [
        b"\x10" + store + parts + echo,
        b"\x00" + echo + pdu(5, bytes(4)),
        b"\xff" + store + both,
        b"\x40" + parts,
    ]


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with."""
    numbered = [bytes([number]) + content for number, content in enumerate(data_sets())]
    heads = [file_head(str(MG_FOR_PRESENTATION), "1.2.3", str(one)) for one in SYNTAXES]
    files = [head + content for head, content in zip(heads, data_sets(), strict=True)]
    known = {
        "pdata": _pdata(),
        "command": [c_store_rq(MG, "1.2.3"), c_echo_rq(), c_store_rq(MG, "1.2.3", data=0x0101)],
        "request": [associate_rq()],
        "structure": numbered,
        "spooled": numbered,
        "spool_file": files,
        "header": files,
    }
    return [*known[target], *found(target)]
