"""One DIMSE message after another: C-STORE goes to its taker, everything else to pynetdicom."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made dynamically

from dicom_node.listener_section import Listener
from dicom_node.wire.command import C_ECHO_RQ, Command, parse, pdu, response
from dicom_node.wire.pdata import P_DATA_TF, Breach, Fragments, Step

if TYPE_CHECKING:
    from dicom_node.wire.acceptor import Acceptor
    from dicom_node.wire.connection import Connection

SOP_CLASS_NOT_SUPPORTED = 0x0122  # PS3.7 C.5.6
MOST_OTHER = 4 << 20  # bytes of a data set that is no object: a commitment's report of thousands
_COMMAND, _DATA = 0x03, 0x02  # PS3.8 E.2: the last fragment of a command, of a data set
MIB = 1 << 20


class Incoming(Protocol):
    """An object that comes; all three may be slow, none raises."""

    def write(self, data: memoryview) -> None:
        """Take the next bytes of its data set, which are somebody else's after this call."""

    def finish(self) -> tuple[int, str]:
        """The data set is complete: status and Error Comment for the sender."""

    def discard(self) -> None:
        """It will not be completed; more than once is no error."""


Begin = Callable[["Acceptor", PresentationContext, Command], Incoming]


class Overrun(Exception):  # noqa: N818 - by the peer
    """A limit was met; the message says which, its value and its setting."""


class Messages:
    """What arrives on one association while it is established; called by its DUL thread only."""

    def __init__(self, assoc: Acceptor, listener: Listener, begin: Begin) -> None:
        self._assoc = assoc
        self._listener = listener
        self._begin = begin
        self._most = int(listener.max_object_mb * MIB)
        self.fragments = Fragments(listener.pdu_limit_bytes)
        self._command: Command | None = None
        self._incoming: Incoming | None = None
        self._other = bytearray()
        self._refused = False
        self._size = self._objects = 0

    def take(self, connection: Connection) -> Step:
        """Take one step of what is in the buffer.

        Raises
        ------
        Breach
            When the peer does not keep to the protocol.
        Overrun
            When the peer has met a limit.

        """
        fragments = self.fragments
        step = fragments.take(connection.buffer, connection.low, connection.high)
        connection.low = fragments.next
        if fragments.end > fragments.start:
            self._data(connection.buffer[fragments.start : fragments.end])
        if step is Step.COMMAND:
            self._begin_message(connection)
        elif step is Step.END:
            self._end_message(connection)
        return step

    def discard(self) -> None:
        """The association has ended."""
        if self._incoming is not None:
            self._incoming.discard()

    def _begin_message(self, connection: Connection) -> None:
        command = parse(self.fragments.command)
        self._command, self._size, self._refused = command, 0, False
        if command.is_store:
            self._begin_store(command)
        elif command.field == C_ECHO_RQ and command.sop_class_uid != Verification:
            raise Breach("A C-ECHO of a SOP class other than Verification")
        else:
            self._pass_on(_COMMAND, bytes(self.fragments.command))
        self.fragments.command.clear()
        if command.has_data:
            self.fragments.data_due = True
        else:
            self._end_message(connection)

    def _begin_store(self, command: Command) -> None:
        self._objects += 1
        if self._objects > self._listener.max_objects:
            raise Overrun(
                f"{self._listener.max_objects} objects came in one association "
                "(listener.max_objects)"
            )
        context = self._assoc.context(self.fragments.context_id)
        if context is None:
            raise Breach("A C-STORE in a presentation context that was not accepted")
        # The log of associations must have its row before an object refers to it.
        self._assoc.seated.wait()
        if command.sop_class_uid and not self._assoc.takes(command.sop_class_uid):
            self._refused = True
        else:
            self._incoming = self._begin(self._assoc, context, command)

    def _data(self, part: memoryview) -> None:
        self._size += len(part)
        command = self._command
        assert command is not None  # noqa: S101 - no data set is due without a command
        if not command.is_store:
            if self._size > MOST_OTHER:
                raise Breach(f"A data set of more than {MOST_OTHER} bytes that is no object")
            self._other += part
            return
        if self._size > self._most:
            raise Overrun(
                f"An object was larger than {self._listener.max_object_mb:g} MiB "
                "(listener.max_object_mb)"
            )
        if self._incoming is not None:
            self._incoming.write(part)

    def _end_message(self, connection: Connection) -> None:
        command, self._command = self._command, None
        assert command is not None  # noqa: S101 - it has begun
        if command.is_store:
            self._alone(connection)
            self._answer(command, connection)
        elif command.has_data:
            self._pass_on(_DATA, bytes(self._other))
            self._other.clear()
        self.fragments.begin_message()

    def _answer(self, command: Command, connection: Connection) -> None:
        if self._incoming is None:
            status, comment = SOP_CLASS_NOT_SUPPORTED, "SOP class not accepted here"
        else:
            status, comment = self._incoming.finish()
            self._incoming = None
            connection.fill()
            self._alone(connection)
        content = response(command, status, comment)
        connection.send(pdu(self.fragments.context_id, content))

    @staticmethod
    def _alone(connection: Connection) -> None:
        """One operation at a time: nobody has agreed to more (PS3.7 D.3.3.3)."""
        low = connection.low
        if low < connection.high and connection.buffer[low] == P_DATA_TF:
            raise Breach("A second request before the first one was answered")

    def _pass_on(self, control: int, content: bytes) -> None:
        """Give pynetdicom a whole command or data set as one fragment, on which it acts later."""
        primitive = P_DATA()
        primitive.presentation_data_value_list.append(
            (self.fragments.context_id, bytes([control]) + content)
        )
        try:
            self._assoc.dimse.receive_primitive(primitive)
        except Exception as error:
            # It reads the command only now, and raises almost anything.
            raise Breach("A command that is none, or with values that must not be") from error
