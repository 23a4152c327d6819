"""A C-STORE request turned into a durable file with its row, then into a status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pydicom import config as pydicom_config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicom_node.callers import Callers
from dicom_node.domain.dicom_file import file_head
from dicom_node.domain.header import InputRule
from dicom_node.domain.identifiers import is_uid
from dicom_node.errors import (
    ArchiveError,
    CannotUnderstand,
    IdentityMismatch,
    IngestError,
    LedgerError,
    OutOfResources,
    Unreadable,
)
from dicom_node.logs import in_words, logger
from dicom_node.scan import scan
from dicom_node.store.archive import Archive
from dicom_node.store.intake import Intake, Received
from dicom_node.store.keeping import Keeper
from dicom_node.store.spool import SpoolFile
from dicom_node.visits import plain
from dicom_node.wire.command import Command

SUCCESS = 0x0000
PROCESSING_FAILURE = 0xC001  # our own code in the C000 range: a fault of ours, see the log
Answer = tuple[int, str]  # status and Error Comment


class Receiver:
    """Takes objects; success is said only after the file and its row are on disk."""

    def __init__(
        self,
        archive: Archive,
        keeper: Keeper,
        rule: InputRule,
        callers: Callers,
        arrived: Callable[[], None],
        shortage: Callable[[], str] = lambda: "",
        *,
        direct: bool = True,
    ) -> None:
        self.shortage = shortage
        self.direct = direct
        self.rule = rule
        self.archive = archive
        self.keeper = keeper
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
            log.error("object not kept", error=error, reason=in_words(error))  # noqa: TRY400 - as above
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
            words = "the command's SOP Class or Instance UID is no UID"
            raise CannotUnderstand(words, Unreadable.NO_UID)
        head = file_head(command.sop_class_uid, command.sop_instance_uid, self._syntax)
        return SpoolFile(self._receiver.archive.new_part(), head, direct=self._receiver.direct)

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
            intake = receiver.keeper.keep(spool.path, received)
        except (ArchiveError, LedgerError) as error:
            raise OutOfResources(str(error)) from error
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
