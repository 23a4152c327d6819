"""What the ledger should say of one study: a model small enough to be read at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicom_node.domain.job import MAX_ATTEMPTS

TO_SEND = {"waiting", "unknown", "sent"}
ARRIVED = {"accepted", "committed"}
DAYS_3 = 72 * 3600.0


@dataclass
class ModelParcel:
    """One object's way to one destination."""

    destination: str
    state: str = "waiting"
    refusals: int = 0
    age: float = 0.0  # since it was planned or sent again by a person


@dataclass
class ModelJob:
    """What a job should be."""

    inputs: frozenset[str]
    state: str = "queued"
    code: str = ""
    attempts: int = 0
    token: int = 0
    owner: str = ""
    lease: float = 0.0  # seconds that are left of it
    pause: float = 0.0  # seconds that it waits after a fault
    rung: bool = False
    stored: str = ""  # whose results the artefacts are
    planned: bool = False
    parcels: dict[int, ModelParcel] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)  # destinations it was taken back at by a person

    @property
    def claimable(self) -> bool:
        waiting = self.state == "queued" and self.pause <= 0
        expired = self.state == "analysing" and self.lease < 0
        return (waiting or expired) and self.attempts <= MAX_ATTEMPTS

    @property
    def takes_the_place(self) -> bool:
        refused = self.state == "failed" and self.code == "refused"
        results = {"analysed", "delivered", "confirmed", "withdrawn"}
        return self.planned and (self.state in results or refused)

    def settle(self) -> None:
        """The exam follows its objects; one that was replaced counts by the others."""
        parcels = [p for p in self.parcels.values() if p.state != "replaced"]
        arrived = all(p.state in ARRIVED for p in parcels)
        under_way = any(p.state in TO_SEND for p in parcels)
        refused = self.state == "failed" and self.code == "refused"
        if not arrived and (self.state in {"delivered", "confirmed"} or (under_way and refused)):
            self.state, self.code = "analysed", ""
        if self.state == "analysed" and arrived:
            self.state = "delivered"
        elif self.state == "analysed" and not under_way:
            self.state, self.code = "failed", "refused"
        asked = [p.state for p in parcels if p.destination == "vault"]
        if self.state == "delivered" and asked and set(asked) == {"committed"}:
            self.state = "confirmed"

    def cancel(self, keys: list[int]) -> None:
        """Objects that count no more; so does the whole set."""
        for key in keys:
            self.parcels[key].state = "cancelled"
        if keys:
            self.state = "withdrawn"


@dataclass
class ModelStudy:
    """What a study should be, with its jobs in the order of their revisions."""

    open: bool = True
    revision: int = 1
    hold: str = ""
    age: float = 0.0  # since the last arrival; less than 0 when the clock was set back
    version: int = 0  # of what was looked at; any arrival makes the next one
    kept: dict[str, set[str]] = field(default_factory=dict)  # SOP Instance UID to hashes
    conflicts: set[str] = field(default_factory=set)
    jobs: dict[str, ModelJob] = field(default_factory=dict)

    @property
    def newest(self) -> ModelJob | None:
        return list(self.jobs.values())[-1] if self.jobs else None

    def receive(self, uid: str, sha256: str, *, foreign: bool, counts: bool) -> str:
        """An image comes in; what the intake should say."""
        if sha256 in self.kept.get(uid, set()) | self.conflicts:
            return "duplicate"
        said = "new"
        if uid in self.kept:
            said, self.hold = "conflict", "conflicting_instance"
            self.conflicts.add(sha256)
        elif foreign:
            said, self.hold = "patient_mismatch", "patient_mismatch"
        if said != "conflict":
            self.kept[uid] = {sha256}
        self.version, self.age = self.version + 1, min(self.age, 0.0)
        if not self.open and counts:
            self.open, self.revision = True, len(self.jobs) + 1
        return said

    def close(self, job_id: str, *, hold: bool) -> None:
        """The exam is complete, or shall wait for a person."""
        self.open = False
        job = ModelJob(inputs=frozenset(self.kept))
        if self.hold or hold:
            job.state, job.code = "held", self.hold or "incomplete"
        self.jobs[job_id] = job

    def pass_time(self, seconds: float) -> None:
        self.version += 1  # every moment is another one now
        self.age += seconds
        for job in self.jobs.values():
            job.lease, job.pause = job.lease - seconds, job.pause - seconds
            job.rung &= seconds < 0
            for parcel in job.parcels.values():
                parcel.age += seconds

    def cancel_outdated(self, destination: str) -> None:
        """Newer results, once planned, end what older ones have still to send; so does a person."""
        replaced = False
        for job in reversed(self.jobs.values()):
            void = replaced or job.state == "withdrawn" or destination in job.noted
            replaced |= job.takes_the_place
            late = [
                key
                for key, parcel in job.parcels.items()
                if parcel.destination == destination and parcel.state in TO_SEND
            ]
            job.cancel(late if void else [])
