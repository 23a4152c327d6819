"""A listening port with its log of associations, and calls to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_node.associate import see_rejection
from dicom_node.callers import Callers
from dicom_node.follow import Follower
from dicom_node.listen import Port, secure_port
from dicom_node.receive import Receiver
from dicom_node.store.disk import disk_of
from dicom_node.store.keeping import Keeper
from dicom_node.vouch import Voucher
from tests.peers import free_port, wait_until
from tests.web_builders import Hospital

MG = DigitalMammographyXRayImageStorageForPresentation


def takes_nothing(*_: object) -> NoReturn:
    """What a port begins with an object in tests that send none."""
    raise AssertionError("an object came")


class Door:
    """A listening port with its log; ``call`` opens an association to it."""

    def __init__(
        self,
        folder: Path,
        peers: Sequence[Any] = (),
        sections: Mapping[str, Any] = MappingProxyType({}),
        tls: dict[str, Any] | None = None,
        storage: dict[str, Any] | None = None,
        **listener: Any,
    ) -> None:
        extra: dict[str, Any] = {
            "listener": {"port": free_port(), **listener},
            "peers": list(peers),
            "tls": tls or {},
            **sections,
        }
        if storage is not None:
            extra["storage"] = {"data_dir": str(folder), "ledger_url": "", **storage}
        self.calls: list[Association] = []
        self.hospital = Hospital(folder, extra=extra)
        self.settings = self.hospital.settings.listener
        self.callers = Callers(self.hospital.settings, self.hospital.ledger, lambda: None)
        self.keeper = Keeper(self.hospital.archive, self.hospital.ledger)
        self.keeper.start()
        self.receiver = receiver = Receiver(
            self.hospital.archive,
            self.keeper,
            self.hospital.settings.input_rule,
            self.callers,
            lambda: None,
            disk_of(self.hospital.settings).shortage,
        )
        self.port = Port(
            self.settings,
            receiver.begin,
            admits=self.callers.admits,
            turned_away=self.callers.turned_away,
            secure=secure_port(self.hospital.settings),
        )
        guests = self.callers.guests
        self.voucher = Voucher(self.hospital.archive, self.hospital.ledger, guests)
        rooms = (self.callers, self.voucher, Follower(self.hospital.ledger, lambda: None))
        self.port.open([handler for room in rooms for handler in room.handlers()])

    def close(self) -> None:
        """Stop listening, then writing; callers that have not hung up do so now."""
        for assoc in self.calls:
            if assoc.is_established:
                assoc.abort()
        self.port.close()
        self.keeper.stop()
        self.hospital.ledger.close()

    def call(
        self, called: str = "FAPS", calling: str = "MODALITY", syntax: str = ExplicitVRLittleEndian
    ) -> Association:
        ae = AE(ae_title=calling)
        ae.add_requested_context(MG, syntax)
        assoc = ae.associate("127.0.0.1", self.settings.port, ae_title=called)
        self.calls.append(assoc)
        see_rejection(assoc)
        return assoc

    def row(self) -> dict[str, Any]:
        """The only association of the log, once it has ended."""

        def ended() -> dict[str, Any] | None:
            rows = self.hospital.ledger.associations.newest()
            return rows[0] if rows and rows[0]["closed_at"] is not None else None

        found: dict[str, Any] = wait_until(ended, "the association in the log", 15)
        assert len(self.hospital.ledger.associations.newest()) == 1
        return found


MakeDoor = Callable[..., Door]
