"""Result objects with their way to each destination."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dicom_node.domain.delivery import ARRIVED, CONFIRMED, DeliveryState, proven
from dicom_node.domain.outputs import DEFAULT_OUTPUTS, SrClass, SrPer, roles_of
from dicom_node.web.words import DELIVERY_TONES, ROLES, Tone, object_name

_USUAL = roles_of(DEFAULT_OUTPUTS, SrClass.COMPREHENSIVE_3D, SrPer.EXAM)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How far one revision's objects have come at one destination.

    What was cancelled is in no other number.
    """

    destination: str
    total: int
    arrived: int
    confirmed: int
    refused: int
    replaced: int  # not among ``total``: what went in their place is
    held: int
    confirmation_asked: bool
    trouble: str  # why something is late or refused
    cancelled: int = 0
    unproven: int = 0  # of these, a proof that is asked for cannot be had

    @property
    def words(self) -> str:
        """``"3 of 5 accepted"``, ``"5 of 5 confirmed"``."""
        if self.confirmation_asked and self.arrived == self.total:
            words = f"{self.confirmed} of {self.total} confirmed"
        else:
            words = f"{self.arrived} of {self.total} accepted"
        if not self.total and not self.replaced:
            return f"{self.cancelled} not sent"
        more = (
            ("refused", self.refused),
            ("replaced", self.replaced),
            ("held", self.held),
            ("not proven", self.unproven),
            ("not sent any more", self.cancelled),
        )
        return ", ".join([words, *(f"{number} {what}" for what, number in more if number)])

    @property
    def complaint(self) -> str:
        """What is wrong at this destination, in one line."""
        kinds = (("refused by", self.refused), ("held for", self.held))
        late = "late at" if self.arrived < self.total else "replaced at"
        late = "not proven by" if self.unproven and not self.replaced else late
        how = next((what for what, number in kinds if number), late)
        return f"{how} {self.destination}: {self.trouble}"

    @property
    def done(self) -> bool:
        """Whether nothing more is expected from this destination."""
        proven = self.confirmed + self.unproven if self.confirmation_asked else self.arrived
        return self.total == min(self.arrived, proven)

    @property
    def settled(self) -> bool:
        """Whether nothing more happens by itself: all is done, refused or held."""
        return self.done or self.total == self.arrived + self.refused + self.held

    @property
    def tone(self) -> Tone:
        """Red when refused, amber when late, held or replaced, green when done."""
        if self.refused:
            return "bad"
        if self.done and not self.replaced and not self.unproven:
            return "good"
        return "warn" if self.trouble else "work"


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One object's state at one destination."""

    destination: str
    state: str
    tone: Tone
    attempts: int
    status: str  # "0x0000", of the last C-STORE response
    reason: str


@dataclass(frozen=True, kw_only=True)
class ResultFile:
    """One DICOM result object."""

    name: str
    sop_instance_uid: str
    size: int
    parcels: tuple[Parcel, ...]


_URGENCY = {DeliveryState.REFUSED: 0, DeliveryState.HELD: 1, DeliveryState.REPLACED: 2}


def tallies(deliveries: Iterable[dict[str, Any]]) -> tuple[Tally, ...]:
    """One tally for each destination, in the order in which they were planned."""
    by_destination: dict[str, list[dict[str, Any]]] = {}
    for row in deliveries:
        by_destination.setdefault(str(row["destination"]), []).append(row)
    return tuple(_tally(name, rows) for name, rows in by_destination.items())


def _tally(destination: str, rows: Sequence[dict[str, Any]]) -> Tally:
    cancelled = DeliveryState.CANCELLED.value
    number = len(rows)
    rows = [row for row in rows if row["state"] != cancelled]
    states = [DeliveryState(row["state"]) for row in rows]
    # What asks for a person comes before what is late.
    late = sorted(
        (_URGENCY.get(state, len(_URGENCY)), number, str(rows[number]["reason"]))
        for number, state in enumerate(states)
        if state not in ARRIVED and rows[number]["reason"]
    )
    replaced = states.count(DeliveryState.REPLACED)
    return Tally(
        destination=destination,
        total=len(rows) - replaced,
        arrived=sum(state in ARRIVED for state in states),
        confirmed=sum(_is_proven(row) for row in rows),
        refused=states.count(DeliveryState.REFUSED),
        replaced=replaced,
        held=states.count(DeliveryState.HELD),
        confirmation_asked=any(_asks_for_proof(row) or row["proof"] for row in rows),
        trouble=late[0][2] if late else next((row["proof"] for row in rows if row["proof"]), ""),
        cancelled=number - len(rows),
        unproven=sum(
            bool(row["proof"]) and state in ARRIVED and not _is_proven(row)
            for row, state in zip(rows, states, strict=True)
        ),
    )


def _asks_for_proof(row: dict[str, Any]) -> bool:
    return bool(row["needs_commitment"] or row["needs_sight"])


def _is_proven(row: dict[str, Any]) -> bool:
    """Whether the object stands on the highest rung that is still asked of it."""
    state = DeliveryState(row["state"])
    if not _asks_for_proof(row):
        return state in CONFIRMED
    commitment, sight = bool(row["needs_commitment"]), bool(row["needs_sight"])
    return proven(state, commitment=commitment, sight=sight)


def result_files(
    artefacts: Iterable[dict[str, Any]], deliveries: Sequence[dict[str, Any]]
) -> tuple[ResultFile, ...]:
    """The DICOM objects among one revision's artefacts, each with its deliveries.

    Every form of every object is made; those that no destination takes are not shown, unless
    there is no destination at all.
    """
    sent = {d["artefact_id"] for d in deliveries}
    return tuple(
        ResultFile(
            name=object_name(artefact["role"], artefact["key"]),
            sop_instance_uid=str(artefact["sop_instance_uid"]),
            size=int(artefact["size"]),
            parcels=tuple(_parcel(d) for d in deliveries if d["artefact_id"] == artefact["id"]),
        )
        for artefact in artefacts
        if artefact["role"] in ROLES
        and (artefact["id"] in sent if sent else artefact["role"] in _USUAL)
    )


def _parcel(row: dict[str, Any]) -> Parcel:
    status = row["last_status"]
    return Parcel(
        destination=str(row["destination"]),
        state=str(row["state"]),
        tone=DELIVERY_TONES.get(row["state"], "warn"),
        attempts=int(row["attempts"]),
        status="" if status is None else f"0x{status:04X}",
        reason=str(row["reason"]),
    )
