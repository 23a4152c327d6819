"""What answers at the DICOM port, put together for whichever process it runs in."""

from __future__ import annotations

from collections.abc import Callable

from dicom_node.callers import Callers
from dicom_node.confirm import Confirmer
from dicom_node.listen import Port, secure_port
from dicom_node.receive import Receiver
from dicom_node.settings import Settings
from dicom_node.store.archive import Archive
from dicom_node.store.disk import disk_of
from dicom_node.store.keeping import Keeper
from dicom_node.store.ledger import Ledger
from dicom_node.wire.gate import Gate
from dicom_node.wire.server import Handler


class Reception:
    """A port with everybody whom it calls; ``news`` is called when there is something to judge."""

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        ledger: Ledger,
        keeper: Keeper,
        confirmer: Confirmer,
        news: Callable[[], None],
        *,
        row: Callable[[int, bool], None] = lambda _id, _is_open: None,
        gate: Gate | None = None,
        hand: Callable[..., None] | None = None,
    ) -> None:
        self.callers = Callers(settings, ledger, news, row)
        room = disk_of(settings)
        receiver = Receiver(archive, keeper, settings.input_rule, self.callers, news, room.shortage)
        self.handlers: list[Handler] = [*self.callers.handlers(), *confirmer.handlers()]
        self.port = Port(
            settings.listener,
            receiver.begin,
            admits=self.callers.admits,
            turned_away=self.callers.turned_away,
            secure=secure_port(settings),
            gate=gate,
            hand=hand,
        )
