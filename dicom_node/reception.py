"""What answers at the DICOM port, put together for whichever process it runs in."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dicom_node.callers import Callers
from dicom_node.confirm import Confirmer
from dicom_node.follow import Follower
from dicom_node.listen import Hand, Port, secure_port
from dicom_node.receive import Receiver
from dicom_node.settings import Settings
from dicom_node.store.archive import Archive
from dicom_node.store.disk import disk_of
from dicom_node.store.keeping import Keeper
from dicom_node.store.ledger import Ledger
from dicom_node.vouch import Voucher
from dicom_node.wire.gate import Gate
from dicom_node.wire.server import Handler


class Reception:
    """A port with everybody whom it calls; ``news`` is called when there is something to judge.

    ``row`` and ``elsewhere`` are for associations of other processes, as ``Callers`` has them;
    ``gate`` and ``hand`` as ``Port`` has them.
    """

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        ledger: Ledger,
        keeper: Keeper,
        news: Callable[[], None],
        *,
        row: Callable[[int, bool], None] = lambda _id, _is_open: None,
        elsewhere: Callable[[], Collection[int]] = tuple,
        gate: Gate | None = None,
        hand: Hand | None = None,
    ) -> None:
        self.callers = Callers(settings, ledger, news, row, elsewhere)
        self.voucher = Voucher(archive, ledger, self.callers.guests)
        self.receiver = Receiver(
            archive,
            keeper,
            settings.input_rule,
            self.callers,
            news,
            disk_of(settings).shortage,
            direct=settings.storage.direct_io,
        )
        reports = Confirmer((), settings.listener.ae_title, ledger)
        rooms = (self.callers, reports, self.voucher, Follower(ledger, news))
        self.handlers: list[Handler] = [one for room in rooms for one in room.handlers()]
        self.port = Port(
            settings.listener,
            self.receiver.begin,
            admits=self.callers.admits,
            turned_away=self.callers.turned_away,
            secure=secure_port(settings),
            gate=gate,
            hand=hand,
        )
