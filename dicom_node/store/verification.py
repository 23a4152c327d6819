"""The ledger compared with the archive: which files it knows, what is wrong with one."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select, union_all, update

from dicom_node.store import events
from dicom_node.store import tables as t
from dicom_node.store.database import Database, now

ASKED_AT_ONCE = 500


class FileFault(enum.Enum):
    """What is wrong with the file of a row; the empty one: nothing."""

    NONE = ""
    MISSING = "missing"
    CHANGED = "changed"


@dataclass(frozen=True, kw_only=True)
class Filed:
    """A row that has a file in the archive."""

    table: str  # "instances" or "artefacts"
    id: int
    study_id: int
    subject_id: str
    sha256: str
    fault: FileFault


_ROWS = {
    "instances": select(
        t.instances.c.id, t.instances.c.study_id, t.instances.c.sop_instance_uid.label("name"),
        t.instances.c.sha256, t.instances.c.fault,
    ).where(t.instances.c.removed_at.is_(None)),
    "artefacts": select(
        t.artefacts.c.id, t.jobs.c.study_id,
        func.coalesce(func.nullif(t.artefacts.c.sop_instance_uid, ""), t.artefacts.c.role).label(
            "name"
        ),
        t.artefacts.c.sha256, t.artefacts.c.fault,
    ).join(t.jobs, t.jobs.c.id == t.artefacts.c.job_id),
}  # fmt: skip
TABLES = tuple(_ROWS)
NAMING = (t.instances, t.artefacts, t.deliveries)  # every table that names a file
_TABLES = {"instances": t.instances, "artefacts": t.artefacts}
_EVENTS = {
    FileFault.NONE: "object_back",
    FileFault.MISSING: "object_missing",
    FileFault.CHANGED: "object_changed",
}


class VerificationLedger:
    """What the archive is compared with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, hashes: Iterable[str]) -> set[str]:
        """Those of the hashes that any row names."""
        wanted = list(hashes)
        found: set[str] = set()
        with self._database.read() as connection:
            for begin in range(0, len(wanted), ASKED_AT_ONCE):
                part = wanted[begin : begin + ASKED_AT_ONCE]
                named = [select(table.c.sha256).where(table.c.sha256.in_(part)) for table in NAMING]
                found.update(connection.execute(union_all(*named)).scalars())
        return found

    def after(self, table: str, last_id: int, limit: int) -> list[Filed]:
        """The next rows of a table by number; images removed for their age have no file."""
        column = _TABLES[table].c.id
        query = _ROWS[table].where(column > last_id).order_by(column).limit(limit)
        with self._database.read() as connection:
            return [
                Filed(
                    table=table, id=key, study_id=study, subject_id=name, sha256=sha256,
                    fault=FileFault(fault),
                )
                for key, study, name, sha256, fault in connection.execute(query)
            ]  # fmt: skip

    def note(self, filed: Filed, fault: FileFault) -> bool:
        """Write what is wrong with a file now, with its event; whether that is news."""
        table = _TABLES[filed.table]
        here = [table.c.id == filed.id, table.c.fault != fault.value]
        if filed.table == "instances":
            here.append(t.instances.c.removed_at.is_(None))
        with self._database.write() as connection:
            change = update(table).where(*here).values(fault=fault.value)
            if not connection.execute(change).rowcount:
                return False
            events.record(
                connection,
                at=now(connection),
                study_id=filed.study_id,
                subject=filed.table.removesuffix("s"),
                subject_id=filed.subject_id,
                event=_EVENTS[fault],
                reason=f"file {filed.sha256[:12]}…",
                actor="verify",
            )
            return True

    def set_aside(self, name: str) -> None:
        """Write that a file without a row has gone into quarantine."""
        with self._database.write() as connection:
            events.record(
                connection,
                at=now(connection),
                study_id=None,
                subject="file",
                subject_id=name[:64],
                event="quarantined",
                reason="no row names it",
                actor="verify",
            )
