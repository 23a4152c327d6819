"""The ledger's steps of modalities at work: what they say they have made of a study."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from dicom_node.domain.procedure import (
    Performed,
    ProcedureEvent,
    ProcedureState,
    advance,
    summary,
)
from dicom_node.store import events
from dicom_node.store import service_tables as s
from dicom_node.store import tables as t
from dicom_node.store.database import Database, insert_if_absent, now


class ProcedureLedger:
    """What following modalities writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, uid: str, study_instance_uid: str, calling_ae: str, images: list[str]) -> bool:
        """A step begins; False where one with this UID is known."""
        with self._database.write() as connection:
            at = now(connection)
            values = {"sop_instance_uid": uid, "study_instance_uid": study_instance_uid}
            state = ProcedureState.IN_PROGRESS
            fresh = insert_if_absent(
                connection, s.procedures, **values, calling_ae=calling_ae, state=state.value,
                images=images, began_at=at, changed_at=at,
            )  # fmt: skip
            if fresh:
                _record(connection, values | {"calling_ae": calling_ae}, "begun", state, at)
            return fresh

    def change(self, uid: str, event: ProcedureEvent, images: list[str] | None) -> bool:
        """A step goes on or ends; False where it is not known.

        Raises
        ------
        IllegalProcedureEventError
            When it has ended already.
        """
        p = s.procedures
        with self._database.write() as connection:
            at = now(connection)
            query = select(p).where(p.c.sop_instance_uid == uid).with_for_update()
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return False
            state = advance(ProcedureState(row["state"]), event)
            named = row["images"] if images is None else images
            connection.execute(
                update(p)
                .where(p.c.sop_instance_uid == uid)
                .values(state=state.value, changed_at=at, images=named)
            )
            _record(connection, dict(row), event.value, state, at, f"{len(named)} images named")
            return True


def performed(connection: Connection, study_id: int, study_instance_uid: str) -> Performed | None:
    """What the modalities say of a study, compared with everything that came of it."""
    p = s.procedures
    rows = connection.execute(select(p).where(p.c.study_instance_uid == study_instance_uid)).all()
    if not rows:
        return None
    here = connection.execute(
        select(t.instances.c.sop_instance_uid).where(t.instances.c.study_id == study_id)
    ).scalars()
    states = [ProcedureState(row.state) for row in rows]
    return summary(states, [uid for row in rows for uid in row.images], here)


def _record(
    connection: Connection,
    step: Mapping[str, object],
    event: str,
    state: ProcedureState,
    at: float,
    reason: str = "",
) -> None:
    study = t.studies.c.study_instance_uid == step["study_instance_uid"]
    events.record(
        connection,
        at=at,
        study_id=connection.execute(select(t.studies.c.id).where(study)).scalar(),
        subject="procedure",
        subject_id=str(step["sop_instance_uid"]),
        event=event,
        to_state=state.value,
        reason=reason,
        actor=str(step["calling_ae"]),
    )
