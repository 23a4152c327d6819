"""A C-STORE request turned into a durable file with its row, then into a status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pydicom import config as pydicom_config
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicom_node.callers import Callers, plain
from dicom_node.domain.dicom_file import file_head
from dicom_node.domain.dimse import INPUT_CLASSES, NATIVE_SYNTAXES
from dicom_node.domain.header import InputRule, header_from
from dicom_node.domain.identifiers import is_uid
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
from dicom_node.logs import logger
from dicom_node.store.archive import Archive
from dicom_node.store.intake import Intake, Received
from dicom_node.store.ledger import Ledger
from dicom_node.store.spool import SpoolFile
from dicom_node.wire.command import Command

SUCCESS = 0x0000
PROCESSING_FAILURE = 0xC001  # our own code in the C000 range: a fault of ours, see the log
Answer = tuple[int, str]  # status and Error Comment
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_PIXEL_DATA_BIG_ENDIAN = b"\x7f\xe0\x00\x10"
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"


class Receiver:
    """Takes objects; success is said only after the file and its row are on disk."""

    def __init__(
        self,
        archive: Archive,
        ledger: Ledger,
        rule: InputRule,
        callers: Callers,
        arrived: Callable[[], None],
        shortage: Callable[[], str] = lambda: "",
    ) -> None:
        self.shortage = shortage
        self.rule = rule
        self.archive = archive
        self.ledger = ledger
        self.callers = callers
        self.arrived = arrived
        self.log = logger("receive")
        # Values outside the standard are the sender's affair: read them, keep the bytes.
        pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

    def begin(self, assoc: Association, context: PresentationContext, command: Command) -> Incoming:
        """An object begins to come."""
        return Incoming(self, assoc, str(context.transfer_syntax[0]), command)


class Incoming:
    """One object on its way into the spool, the archive and the ledger.

    What cannot be kept is read to its end, for only then does the sender listen to an answer.
    """

    def __init__(
        self, receiver: Receiver, assoc: Association, transfer_syntax_uid: str, command: Command
    ) -> None:
        self._receiver = receiver
        self._assoc = assoc
        self._syntax = transfer_syntax_uid
        self._command = command
        self._spool: SpoolFile | None = None
        self._refusal: Answer | None = None
        with self._answered():
            self._spool = self._open()

    def write(self, data: memoryview) -> None:
        """Take the next bytes of its data set."""
        if self._spool is not None:
            with self._answered():
                self._spool.write(data)

    def finish(self) -> Answer:
        """The data set is complete: keep it, count it and answer for it."""
        if self._spool is not None:
            with self._answered():
                self._keep(self._spool)
        self.discard()
        if self._refusal is not None:
            self._receiver.callers.tally(self._assoc).refuse(*self._refusal)
            return self._refusal
        return SUCCESS, ""

    def discard(self) -> None:
        """Leave nothing behind; a file that was kept has another name by now."""
        spool, self._spool = self._spool, None
        if spool is not None:
            with suppress(OSError):  # the spool is swept now and then
                spool.discard()

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Every fault becomes the answer to the sender."""
        log = self._receiver.log
        try:
            yield
        except OSError as error:
            # The disk's fault, full or broken: the sender may try again.
            log.error(  # noqa: TRY400 - tracebacks quote data
                "spool cannot be written", error=error, reason=error.strerror or ""
            )
            self._refuse(OutOfResources.dimse_status, "disk error, try again later")
        except IngestError as error:
            log.warning(
                "object refused",
                ae=plain(self._assoc.requestor.ae_title),
                sop_instance=self._command.sop_instance_uid,
                status=f"0x{error.dimse_status:04X}",
                reason=str(error),
            )
            self._refuse(error.dimse_status, str(error))
        except Exception as error:  # noqa: BLE001 - the edge of the wire: answer, do not hang
            log.error("object not kept", error=error, reason=str(error))  # noqa: TRY400 - as above
            self._refuse(PROCESSING_FAILURE, "internal fault, see the node's log")

    def _refuse(self, status: int, comment: str) -> None:
        # PS3.7 C: LO, at most 64 characters; our messages hold no patient data.
        self._refusal = status, comment.encode("ascii", "replace").decode("ascii")[:64]
        self.discard()

    def _open(self) -> SpoolFile:
        command = self._command
        if why := self._receiver.shortage():
            raise OutOfResources(why)
        if not (is_uid(command.sop_class_uid) and is_uid(command.sop_instance_uid)):
            raise CannotUnderstand("the command's SOP Class or Instance UID is no UID")
        head = file_head(command.sop_class_uid, command.sop_instance_uid, self._syntax)
        return SpoolFile(self._receiver.archive.new_part(), head)

    def _keep(self, spool: SpoolFile) -> None:
        receiver, command = self._receiver, self._command
        sha256 = spool.finish()
        header = scan(spool.path, self._syntax, receiver.rule)
        if (header.sop_class_uid, header.sop_instance_uid) != (
            command.sop_class_uid,
            command.sop_instance_uid,
        ):
            raise IdentityMismatch("command and data set name different SOP Class or Instance UIDs")
        tally = receiver.callers.tally(self._assoc)
        received = Received(
            header=header,
            sha256=sha256,
            size=spool.size,
            association_id=tally.association_id,
            calling_ae=str(self._assoc.requestor.ae_title).strip(),
        )
        try:
            receiver.archive.adopt(spool.path, sha256)
            intake = receiver.ledger.intake.record_instance(received)
        except (ArchiveError, LedgerError) as error:
            raise OutOfResources(str(error)) from error
        if intake is Intake.DUPLICATE and not receiver.archive.path(sha256).exists():
            raise OutOfResources("its old file was removed at this moment, send it again")
        tally.objects += 1
        tally.bytes += spool.size
        receiver.log.info(
            "received",
            sop_instance=header.sop_instance_uid,
            state=intake.value,
            bytes=spool.size,
            sha256=sha256[:12],
        )
        if intake in {Intake.NEW, Intake.CONFLICT, Intake.MISMATCH}:
            receiver.arrived()


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
