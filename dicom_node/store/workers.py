"""The ledger's list of workers that are up."""

from __future__ import annotations

from sqlalchemy import case, delete, func, select, update

from dicom_node.store import tables as t
from dicom_node.store.database import Database, insert_if_absent, now
from dicom_node.store.jobs import open_to_claim
from dicom_node.store.owners import is_dead

FORGET_AFTER_S = 3600.0


class WorkerLedger:
    """What workers say of themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def say_alive(self, owner: str, bundle: str) -> None:
        """Write down that a worker has its bundle loaded and is ready for work."""
        with self._database.write() as connection:
            at = now(connection)
            insert_if_absent(
                connection, t.workers, owner=owner, bundle=bundle, started_at=at, seen_at=at
            )
            connection.execute(
                update(t.workers)
                .where(t.workers.c.owner == owner)
                .values(seen_at=at, bundle=bundle)
            )
            connection.execute(delete(t.workers).where(t.workers.c.seen_at < at - FORGET_AFTER_S))

    def say_goodbye(self, owner: str) -> None:
        """A worker that stops in order takes itself off the list."""
        with self._database.write() as connection:
            connection.execute(delete(t.workers).where(t.workers.c.owner == owner))

    def alive(self, within_s: float) -> dict[str, str]:
        """Owner and bundle of every worker heard of within ``within_s`` seconds, the dead left out.

        Of another machine's nobody here knows that it is dead before it has been silent so long.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.workers.c.owner, t.workers.c.bundle).where(
                    t.workers.c.seen_at >= now(connection) - within_s
                )
            )
            return {str(row.owner): str(row.bundle) for row in rows if not is_dead(row.owner)}

    def unclaimed_s(self) -> float:
        """For how long the job that has waited longest could have been claimed; 0 without one."""
        j = t.jobs.c
        since = case((j.next_at > j.updated_at, j.next_at), else_=j.updated_at)
        with self._database.read() as connection:
            at = now(connection)
            oldest = connection.execute(select(func.min(since)).where(open_to_claim(at)))
            return max(0.0, at - (oldest.scalar_one() or at))
