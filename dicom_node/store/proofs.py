"""The ledger's proofs that a destination keeps what it accepted, rung by rung."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, update

from dicom_node.domain.delivery import (
    ARRIVED,
    DELIVER_ATTEMPTS_PERMANENT,
    DeliveryEvent,
    DeliveryState,
    pause,
)
from dicom_node.store import tables as t
from dicom_node.store.change import change_delivery
from dicom_node.store.database import Database, now
from dicom_node.store.settle import settle_job, settle_jobs

NO_SUCH_OBJECT = 0x0112  # PS3.3 C.14.1.1: the destination does not have it
COMMIT_PAUSE_S = 60.0
LOOK_FIRST_S, LOOK_MAX_S = 5.0, 300.0
# An archive lists what it accepted within seconds; what is not there after so long was lost.
SEEN_WITHIN_S = 900.0
LACKING_AFTER = 3  # a service that is missing is asked for again: it may be set up right now


@dataclass(frozen=True, kw_only=True)
class Look:
    """Objects of one job that a destination has accepted and that are looked for there."""

    job_id: str
    study_instance_uid: str
    objects: Mapping[int, tuple[str, str]]  # delivery: (SOP Instance UID, SHA-256)


class ProofLedger:
    """What confirming reads and writes of deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def confirm(
        self, job_id: str, destination: str, committed: AbstractSet[str], failed: Mapping[str, int]
    ) -> None:
        """Take over a destination's report; ``failed`` maps SOP Instance UIDs to reasons.

        What the report does not name stays accepted and is asked for again.
        """
        with self._database.write() as connection:
            at = now(connection)
            for row in _in_states(connection, job_id, destination, [DeliveryState.ACCEPTED]):
                uid = str(row.sop_instance_uid)
                if uid in committed:
                    change_delivery(
                        connection, row, DeliveryEvent.COMMIT, at, reason="committed",
                        asked_at=None, asks=0,
                    )  # fmt: skip
                elif uid in failed:
                    _not_committed(connection, row, failed[uid], at)
            settle_job(connection, job_id, at)

    def to_look_for(self, destination: str) -> list[Look]:
        """What is to be looked for now, those of the oldest job first.

        An object is looked for once it stands on the rung below: committed, where that is asked
        for, else accepted; and again after a pause that grows from 5 s to 5 min.
        """
        d, a, j, s = t.deliveries, t.artefacts, t.jobs, t.studies
        below = or_(
            d.c.state == DeliveryState.COMMITTED.value,
            and_(d.c.state == DeliveryState.ACCEPTED.value, d.c.needs_commitment == 0),
        )
        with self._database.read() as connection:
            at = now(connection)
            rows = connection.execute(
                select(
                    d.c.id, d.c.job_id, d.c.asked_at, d.c.asks, s.c.study_instance_uid,
                    a.c.sop_instance_uid, a.c.sha256,
                )
                .join(a, a.c.id == d.c.artefact_id)
                .join(j, j.c.id == d.c.job_id)
                .join(s, s.c.id == j.c.study_id)
                .where(d.c.destination == destination, d.c.needs_sight == 1, below)
                .order_by(j.c.created_at, d.c.job_id, d.c.id)
            ).all()  # fmt: skip
        looks: dict[str, tuple[str, dict[int, tuple[str, str]]]] = {}
        for row in rows:
            rest = pause(row.asks, 0.5, LOOK_FIRST_S, LOOK_MAX_S)
            if row.asked_at is None or row.asked_at + rest <= at:
                _, objects = looks.setdefault(row.job_id, (row.study_instance_uid, {}))
                objects[row.id] = (row.sop_instance_uid, row.sha256)
        return [
            Look(job_id=job_id, study_instance_uid=uid, objects=objects)
            for job_id, (uid, objects) in looks.items()
        ]

    def looked(self, look: Look, found: AbstractSet[str]) -> None:
        """Write down what a query found; what it never finds is sent again, three times at most."""
        with self._database.write() as connection:
            at = now(connection)
            for row in _deliveries(connection, look.objects):
                if DeliveryState(row.state) not in ARRIVED - {DeliveryState.SEEN}:
                    continue  # a person sends it again
                uid, _ = look.objects[row.id]
                if uid in found:
                    change_delivery(
                        connection, row, DeliveryEvent.FOUND, at, reason="found in the study",
                        refusals=0,
                    )  # fmt: skip
                elif at - (row.reached_at or at) > SEEN_WITHIN_S:
                    _not_found(connection, row, at)
                else:
                    _asked(connection, row.id, at)
            settle_job(connection, look.job_id, at)

    def asked(self, deliveries: Sequence[int]) -> None:
        """Write down that a look failed, and when: it is repeated after a pause."""
        with self._database.write() as connection:
            at = now(connection)
            for key in deliveries:
                _asked(connection, key, at)

    def give_up(
        self, destination: str, rung: str, reason: str, *, within_s: float, lacking: bool
    ) -> int:
        """End a rung of the proof where its time is over, or its service was missing three times.

        ``rung`` is ``commitment`` or ``sight``. The ladder ends one rung lower there, and
        ``proof`` of the delivery says why. Returns how many objects are concerned.
        """
        d = t.deliveries
        commitment = rung == "commitment"
        needed = d.c.needs_commitment if commitment else d.c.needs_sight
        states = [DeliveryState.ACCEPTED] if commitment else [*ARRIVED - {DeliveryState.SEEN}]
        with self._database.write() as connection:
            at = now(connection)
            # Asked once at least: the rung below may have taken all the time.
            over = and_(d.c.reached_at <= at - within_s, d.c.asks > 0)
            missing = d.c.asks >= LACKING_AFTER
            rows = connection.execute(
                select(d)
                .where(
                    d.c.destination == destination,
                    needed == 1,
                    d.c.state.in_([state.value for state in states]),
                    or_(over, missing) if lacking else over,
                    *([] if commitment else [_below_sight()]),
                )
                .order_by(d.c.id)
                .with_for_update()
            ).all()
            for row in rows:
                change_delivery(
                    connection, row, DeliveryEvent.UNPROVEN, at, actor="confirm", reason=reason,
                    proof="; ".join(filter(None, (row.proof, reason))), asked_at=None, asks=0,
                    **{"needs_commitment" if commitment else "needs_sight": 0},
                )  # fmt: skip
            settle_jobs(connection, (str(row.job_id) for row in rows), at)
            return len(rows)


def _below_sight() -> Any:  # noqa: ANN401 - a SQL condition
    d = t.deliveries
    return or_(d.c.state == DeliveryState.COMMITTED.value, d.c.needs_commitment == 0)


def _asked(connection: Connection, delivery_id: int, at: float) -> None:
    d = t.deliveries
    connection.execute(
        update(d).where(d.c.id == delivery_id).values(asked_at=at, asks=d.c.asks + 1)
    )


def _deliveries(
    connection: Connection, keys: Mapping[int, object]
) -> Sequence[Row[tuple[object, ...]]]:
    query = select(t.deliveries).where(t.deliveries.c.id.in_(list(keys))).with_for_update()
    return connection.execute(query.order_by(t.deliveries.c.id)).all()


def _in_states(
    connection: Connection, job_id: str, destination: str, states: Sequence[DeliveryState]
) -> Sequence[Row[tuple[object, ...]]]:
    return connection.execute(
        select(t.deliveries, t.artefacts.c.sop_instance_uid)
        .join(t.artefacts, t.artefacts.c.id == t.deliveries.c.artefact_id)
        .where(
            t.deliveries.c.job_id == job_id,
            t.deliveries.c.destination == destination,
            t.deliveries.c.state.in_([state.value for state in states]),
        )
        .order_by(t.deliveries.c.id)
        .with_for_update(of=t.deliveries)
    ).all()


def _not_committed(
    connection: Connection, row: Row[tuple[object, ...]], reason: int, at: float
) -> None:
    """A lost object goes out again at once; one that is refused, later, and not for ever."""
    text = f"not committed, reason 0x{reason:04X}"
    lost = reason == NO_SUCH_OBJECT
    wait = 0.0 if lost else COMMIT_PAUSE_S
    change_delivery(
        connection, row, DeliveryEvent.COMMIT_FAILURE, at, reason=text, next_at=at + wait,
        refusals=row.refusals + (not lost), reached_at=None if lost else row.reached_at,
    )  # fmt: skip
    if not lost:
        _refused_at_last(connection, row, text, at)


def _not_found(connection: Connection, row: Row[tuple[object, ...]], at: float) -> None:
    """What was accepted and is not in the study goes out again, and not for ever."""
    text = f"accepted, and not found in the study {SEEN_WITHIN_S / 60:.0f} min later"
    spread = random.random()  # noqa: S311 - jitter, not a secret
    change_delivery(
        connection, row, DeliveryEvent.NOT_FOUND, at, reason=text, refusals=row.refusals + 1,
        next_at=at + pause(1, spread, LOOK_FIRST_S, LOOK_MAX_S), asked_at=None, asks=0,
    )  # fmt: skip
    _refused_at_last(connection, row, text, at)


def _refused_at_last(
    connection: Connection, row: Row[tuple[object, ...]], reason: str, at: float
) -> None:
    if row.refusals + 1 >= DELIVER_ATTEMPTS_PERMANENT:
        query = select(t.deliveries).where(t.deliveries.c.id == row.id)
        waiting = connection.execute(query).one()
        change_delivery(connection, waiting, DeliveryEvent.REFUSAL, at, reason=reason)
