"""A C-STORE request turned into a durable file with its row, then into a status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import config as pydicom_config
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.callers import Callers
from dicom_node.domain.dimse import INPUT_CLASSES, NATIVE_SYNTAXES
from dicom_node.domain.header import InputRule, header_from
from dicom_node.domain.instance import InstanceHeader
from dicom_node.errors import (
    ArchiveError,
    CannotUnderstand,
    FapsNodeError,
    IdentityMismatch,
    IngestError,
    LedgerError,
    OutOfResources,
)
from dicom_node.logs import in_words, logger
from dicom_node.store.archive import Archive, sha256_of
from dicom_node.store.intake import Intake, Received
from dicom_node.store.ledger import Ledger

SUCCESS = 0x0000
PROCESSING_FAILURE = 0xC001  # our own code in the C000 range: a fault of ours, see the log
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_PIXEL_DATA_BIG_ENDIAN = b"\x7f\xe0\x00\x10"
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"


class Receiver:
    """Answers C-STORE: 0x0000 only after the file and its row are on disk."""

    def __init__(
        self,
        archive: Archive,
        ledger: Ledger,
        rule: InputRule,
        callers: Callers,
        arrived: Callable[[], None],
        shortage: Callable[[], str] = lambda: "",
    ) -> None:
        self._shortage = shortage
        self._rule = rule
        self._archive = archive
        self._ledger = ledger
        self._callers = callers
        self._arrived = arrived
        self._log = logger("receive")
        # Values outside the standard are the sender's affair: read them, keep the bytes.
        pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

    def handlers(self) -> list[tuple[object, Callable[..., object]]]:
        """What the port shall call."""
        return [(evt.EVT_C_STORE, self.store)]

    def store(self, event: evt.Event) -> Dataset | int:
        """Keep one object, count it and answer for it."""
        answer = self._store(event)
        if isinstance(answer, Dataset):
            self._callers.tally(event.assoc).refuse(answer.Status, answer.ErrorComment)
        return answer

    def _store(self, event: evt.Event) -> Dataset | int:
        try:
            intake = self._keep(event)
        except OSError as error:
            # The spool cannot be read back: the disk's fault, and the sender may try again.
            self._log.error("spool cannot be read", error=error)
            return _status(OutOfResources.dimse_status, "disk error, try again later")
        except IngestError as error:
            self._log.warning(
                "object refused",
                ae=str(event.assoc.requestor.ae_title),
                sop_instance=str(_request(event).AffectedSOPInstanceUID),
                status=f"0x{error.dimse_status:04X}",
                reason=str(error),
            )
            return _status(error.dimse_status, str(error))
        except Exception as error:  # noqa: BLE001 - the edge of the wire: answer, do not hang
            self._log.error("object not kept", error=error, reason=in_words(error))
            return _status(PROCESSING_FAILURE, "internal fault, see the node's log")
        if intake in {Intake.NEW, Intake.CONFLICT, Intake.MISMATCH}:
            self._arrived()
        return SUCCESS

    def _keep(self, event: evt.Event) -> Intake:
        if why := self._shortage():
            raise OutOfResources(why)
        request = _request(event)
        path = event.dataset_path
        header = scan(path, str(event.context.transfer_syntax), self._rule)
        if (header.sop_class_uid, header.sop_instance_uid) != (
            request.AffectedSOPClassUID,
            request.AffectedSOPInstanceUID,
        ):
            raise IdentityMismatch("command and data set name different SOP Class or Instance UIDs")
        size = path.stat().st_size
        sha256 = sha256_of(path)
        tally = self._callers.tally(event.assoc)
        received = Received(
            header=header,
            sha256=sha256,
            size=size,
            association_id=tally.association_id,
            calling_ae=str(event.assoc.requestor.ae_title).strip(),
        )
        try:
            self._archive.adopt(path, sha256)
            intake = self._ledger.intake.record_instance(received)
        except (ArchiveError, LedgerError) as error:
            raise OutOfResources(str(error)) from error
        if intake is Intake.DUPLICATE and not self._archive.path(sha256).exists():
            raise OutOfResources("its old file was removed at this moment, send it again")
        tally.objects += 1
        tally.bytes += size
        self._log.info(
            "received",
            sop_instance=header.sop_instance_uid,
            state=intake.value,
            bytes=size,
            sha256=sha256[:12],
        )
        return intake


def _request(event: evt.Event) -> C_STORE:
    """The request of a C-STORE event, whose type pynetdicom leaves open."""
    return cast("C_STORE", event.request)


def _status(code: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = code
    # PS3.7 C: LO, at most 64 characters; our messages hold no patient data.
    answer.ErrorComment = comment.encode("ascii", "replace").decode("ascii")[:64]
    return answer


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
