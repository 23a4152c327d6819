"""The ledger's list of peers: those that a command or the page has added."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from dicom_node.domain.peer import Peer, Service
from dicom_node.errors import LedgerError
from dicom_node.store import events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now


class PeerLedger:
    """Peers beside those of the settings; the ones here can be added while the node runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Peer, ...]:
        """Every peer, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(t.peers).order_by(t.peers.c.name)).all()
        return tuple(
            Peer(
                name=row.name,
                ae_title=row.ae_title,
                address=row.address,
                called_ae=tuple(row.called_ae),
                certificate=row.certificate,
                services=tuple(map(Service, row.services)),
                note=row.note,
                port=row.port,
                source=row.added_by,
            )
            for row in rows
        )

    def add(self, peer: Peer, actor: str) -> None:
        """Let a peer in from now on; a ``LedgerError`` when its name is taken."""
        with self._database.write() as connection:
            if connection.execute(select(t.peers).where(t.peers.c.name == peer.name)).first():
                raise LedgerError(f"peer {peer.name!r} is there already; choose another --name")
            connection.execute(
                insert(t.peers).values(
                    name=peer.name,
                    ae_title=peer.ae_title,
                    address=peer.address,
                    called_ae=list(peer.called_ae),
                    certificate=peer.certificate,
                    services=[service.value for service in peer.services],
                    note=peer.note,
                    port=peer.port,
                    added_at=now(connection),
                    added_by=actor,
                )
            )
            who = f"{peer.ae_title} at {peer.address or 'any address'}"
            _record(connection, peer.name, "added", who, actor)

    def remove(self, name: str, actor: str) -> None:
        """Let a peer in no more; a ``LedgerError`` when no command has added it."""
        with self._database.write() as connection:
            if not connection.execute(delete(t.peers).where(t.peers.c.name == name)).rowcount:
                raise LedgerError(
                    f"no peer {name!r} was added by command; those of node.toml are removed there"
                )
            _record(connection, name, "removed", "", actor)


def _record(connection: Connection, name: str, event: str, reason: str, actor: str) -> None:
    events.record(
        connection, at=now(connection), study_id=None, subject="peer", subject_id=name[:64],
        event=event, reason=reason, actor=actor,
    )  # fmt: skip
