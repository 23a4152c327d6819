"""The ledger's record of the instances that came."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from dicom_node.domain.association import Entry
from dicom_node.domain.instance import OWN_RESULT, InstanceHeader
from dicom_node.domain.study import StudyState
from dicom_node.store import assessments, events
from dicom_node.store import tables as t
from dicom_node.store.database import insert_if_absent, now
from dicom_node.store.received import HOLD_CODES, Intake, KnownStudy, Received, judge
from dicom_node.store.studies import changed
from dicom_node.store.writer import Act, Order, Writer

__all__ = ["Intake", "IntakeLedger", "Received"]


class IntakeLedger:
    """What the listener writes."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._act = Act(Order.OBJECT, record_all)

    def record_instance(self, received: Received) -> Intake:
        """Make one instance part of its study; idempotent for the same bytes.

        The transaction is durable on return: only then may the sender be answered 0x0000. It may
        hold instances that came at the same moment on other associations.
        """
        return self._writer.write(self._act, received)


_UIDS: BindParameter[list[str]] = bindparam("uids", expanding=True)
_s, _i, _a = t.studies.c, t.instances.c, t.artefacts.c
# In one order everywhere: two receivers with several studies each must not wait for each other.
_STUDIES = (
    select(_s.id, _s.study_instance_uid, _s.patient_id, _s.state, _s.revision, _s.last_received_at)
    .where(_s.study_instance_uid.in_(_UIDS))
    .order_by(_s.study_instance_uid)
    .with_for_update()
)
_KNOWN = union_all(
    select(_i.sop_instance_uid, _i.sha256, or_(_i.removed_at.is_not(None), _i.fault != "")).where(
        _i.sop_instance_uid.in_(_UIDS)
    ),
    # A result of ours, even if a PACS has written its own name as Manufacturer.
    select(_a.sop_instance_uid, literal(""), literal(False)).where(_a.sop_instance_uid.in_(_UIDS)),  # noqa: FBT003 - a column
)
_INSERT = insert(t.instances)
_TOUCH = (
    update(t.studies).where(_s.id == bindparam("study")).values(last_received_at=bindparam("at"))
)
_IS_BACK = (
    update(t.instances)
    .where(_i.sop_instance_uid == bindparam("uid"), _i.sha256 == bindparam("hash"))
    .values(removed_at=None, erased=0, fault="")
)
_STATES = {Intake.IGNORED: t.InstanceState.IGNORED, Intake.CONFLICT: t.InstanceState.CONFLICT}


def record_all(connection: Connection, batch: Sequence[Received]) -> list[Intake]:
    """Record instances in one transaction, as if they had come one after the other."""
    return _Batch(connection, batch).record()


class _Batch:
    """Instances recorded in one transaction: each study read once, each table written once."""

    def __init__(self, connection: Connection, batch: Sequence[Received]) -> None:
        self._connection = connection
        self._batch = batch
        self._at = now(connection)
        self._rows: list[dict[str, object]] = []
        self._events: list[dict[str, object]] = []
        # The study's row is the lock: whoever holds it sees every instance of the study.
        self._studies: dict[str, KnownStudy] = {}
        self._lock()
        self._known, self._made = self._read_known()
        if self._open_missing():
            self._known, self._made = self._read_known()

    def record(self) -> list[Intake]:
        """What each instance amounted to."""
        intakes = [self._one(received) for received in self._batch]
        self._flush()
        touched = [study for study in self._studies.values() if study.changes]
        if touched:
            came = [{"study": one.id, "at": one.changes["last_received_at"]} for one in touched]
            self._connection.execute(_TOUCH, came)
        for study in touched:
            if study.changes.keys() != {"last_received_at"}:
                values = update(t.studies).where(_s.id == study.id).values(**study.changes)
                self._connection.execute(values)
        return intakes

    def _lock(self) -> None:
        uids = {received.header.study_instance_uid for received in self._batch}
        for row in self._connection.execute(_STUDIES, {"uids": sorted(uids)}):
            self._studies[row.study_instance_uid] = KnownStudy(*row)

    def _read_known(self) -> tuple[dict[str, dict[str, bool]], set[str]]:
        """Hashes under which each SOP Instance UID is known, and whether that file may be gone.

        Beside them the UIDs that are results made here.
        """
        known: dict[str, dict[str, bool]] = {}
        made: set[str] = set()
        uids = {received.header.sop_instance_uid for received in self._batch}
        for uid, sha256, removed in self._connection.execute(_KNOWN, {"uids": list(uids)}):
            if sha256:
                known.setdefault(uid, {})[sha256] = bool(removed)
            else:
                made.add(uid)
        return known, made

    def _open_missing(self) -> bool:
        """Make the studies whose first instance is here; whether there were any.

        A result of ours opens no study: where it is the first of its study, that is closed at once.
        """
        first: dict[str, Received] = {}
        for received in self._batch:
            if received.header.study_instance_uid not in self._studies:
                first.setdefault(received.header.study_instance_uid, received)
        closed = []
        for uid, received in sorted(first.items()):
            own = self._is_own(received.header)
            if self._insert_study(received, own=own) and own:
                closed.append(uid)
        if first:
            self._lock()
        self._events += [
            changed(
                self._studies[uid].id, uid, StudyState.CLOSED,
                at=self._at, reason=OWN_RESULT, actor="receive",
            )
            for uid in closed
        ]  # fmt: skip
        return bool(first)

    def _insert_study(self, received: Received, *, own: bool) -> bool:
        header = received.header
        return insert_if_absent(
            self._connection,
            t.studies,
            study_instance_uid=header.study_instance_uid,
            patient_id=header.patient_id,
            accession_number=header.accession_number,
            calling_ae=received.calling_ae,
            called_ae=_called_ae(received),
            state=(StudyState.CLOSED if own else StudyState.OPEN).value,
            reason=OWN_RESULT if own else "",
            opened_at=self._at,
            last_received_at=self._at,
        )

    def _is_own(self, header: InstanceHeader) -> bool:
        return header.own_result or header.sop_instance_uid in self._made

    def _one(self, received: Received) -> Intake:
        header, sha256 = received.header, received.sha256
        own = self._is_own(header)
        study = self._studies[header.study_instance_uid]
        hashes = self._known.setdefault(header.sop_instance_uid, {})
        if sha256 in hashes:
            if hashes[sha256]:
                self._is_back(study, received)
                hashes[sha256] = False
            return Intake.DUPLICATE
        intake, reason = judge(header, study.patient_id, own=own, conflict=bool(hashes))
        hashes[sha256] = False
        self._add(received, study, intake, reason)
        if intake is not Intake.IGNORED:
            self._touch(study, header, intake, reason)
        elif header.assessments and not own and header.patient_id == study.patient_id:
            self._assess(study, received)
        return intake

    def _is_back(self, study: KnownStudy, received: Received) -> None:
        """An image removed for its age, lost or damaged came again: its file is there again."""
        uid = received.header.sop_instance_uid
        self._connection.execute(_IS_BACK, {"uid": uid, "hash": received.sha256})
        self._note(study, received, "object_back")

    def _note(self, study: KnownStudy, received: Received, event: str, **said: str) -> None:
        self._events.append(
            events.row(
                at=self._at,
                study_id=study.id,
                subject="instance",
                subject_id=received.header.sop_instance_uid,
                event=event,
                actor=received.calling_ae,
                **said,
            )
        )

    def _add(self, received: Received, study: KnownStudy, intake: Intake, reason: str) -> None:
        state = _STATES.get(intake, t.InstanceState.KEPT)
        header = received.header
        self._rows.append(
            {
                "study_id": study.id,
                "association_id": received.association_id and received.association_id.id,
                "sop_instance_uid": header.sop_instance_uid,
                "sop_class_uid": header.sop_class_uid,
                "sha256": received.sha256,
                "size": received.size,
                "header": header.to_json(),
                "received_at": self._at,
                "state": state.value,
                "reason": reason,
            }
        )
        why = reason or f"{header.kind.value}, by {header.kind_evidence}"
        self._note(study, received, f"received_{intake.value}", to_state=state.value, reason=why)

    def _flush(self) -> None:
        """Write the instances and events so far, in their order."""
        if self._rows:
            self._connection.execute(_INSERT, self._rows)
        events.record_all(self._connection, self._events)
        self._rows, self._events = [], []

    def _touch(
        self, study: KnownStudy, header: InstanceHeader, intake: Intake, reason: str
    ) -> None:
        """Let the study know: time, hold, and the next revision when it was closed already."""
        self._came(study)
        if intake in HOLD_CODES:
            study.changes |= {"hold_code": HOLD_CODES[intake], "hold_reason": reason}
        # An image that no analysis may use changes no result: it does not reopen a study.
        if study.state == StudyState.CLOSED.value and header.exclusion is None:
            self._reopen(study, "a late image")

    def _came(self, study: KnownStudy) -> None:
        """Now, but after the arrival before: that is how ``close`` knows that something came."""
        study.changes["last_received_at"] = max(self._at, study.last_received_at + 1e-3)

    def _assess(self, study: KnownStudy, received: Received) -> None:
        """Take over a report's categories; a study closed without them is analysed again."""
        self._flush()
        header = received.header
        categories = [(side, category) for side, category in map(str.split, header.assessments)]
        news = assessments.record(
            self._connection,
            study.id,
            categories,
            source=header.sop_instance_uid,
            actor=received.calling_ae,
            at=self._at,
        )
        self._came(study)
        jobs = select(t.jobs.c.id).where(t.jobs.c.study_id == study.id).limit(1)
        analysed = self._connection.execute(jobs).first() is not None
        if news and analysed and study.state == StudyState.CLOSED.value:
            self._reopen(study, "a radiologist's category")

    def _reopen(self, study: KnownStudy, why: str) -> None:
        """Open a study again.

        The next revision begins where there was one: a study of which no job was made has none yet.
        """
        made = exists().where(t.jobs.c.study_id == study.id, t.jobs.c.revision == study.revision)
        study.revision += bool(self._connection.execute(select(made)).scalar_one())
        study.state = StudyState.OPEN.value
        study.changes |= {"state": study.state, "revision": study.revision}
        study.changes["opened_at"] = self._at
        reason = f"{why}: revision {study.revision}"
        self._events.append(
            changed(
                study.id, study.study_instance_uid, StudyState.OPEN,
                at=self._at, reason=reason, actor="receive",
            )
        )  # fmt: skip


def _called_ae(received: Received) -> ColumnElement[str]:
    """Which of our AE titles the association called; none where it is not known."""
    entry = received.association_id or Entry()
    called = select(t.associations.c.called_ae).where(t.associations.c.id == entry.id)
    return func.coalesce(called.scalar_subquery(), "")
