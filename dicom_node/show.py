"""The ledger's overview, and what a peer answers, printed in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dicom_node.domain.offers import Answer
from dicom_node.domain.peer import Peer
from dicom_node.domain.reach import Reach
from dicom_node.store.overview import StudyLine, StudySheet


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def print_studies(console: Console, studies: Sequence[StudyLine]) -> None:
    """One line per exam, the newest first."""
    if not studies:
        console.print("No exam has arrived yet.")
        return
    table = Table("Last image", "Accession", "Patient ID", "From", "Images", "State", "Why")
    for line in studies:
        table.add_row(
            _time(line.last_received_at),
            *(escape(text) for text in (line.accession_number, line.patient_id, line.calling_ae)),
            str(line.images),
            line.state,
            escape(line.reason),
        )
    console.print(table)


def print_sheet(console: Console, sheet: StudySheet) -> None:
    """Everything about one exam."""
    line = sheet.line
    console.print(f"[bold]{line.study_instance_uid}[/bold]  {line.state}")
    console.print(f"accession {line.accession_number}, patient {line.patient_id}", markup=False)
    if line.reason:
        console.print(line.reason, markup=False)
    cells = Table("View", "Low-energy", "Recombined", "Pair")
    for cell in sheet.cells:
        marks = ("yes" if mark else "-" for mark in (cell.low_energy, cell.recombined, cell.paired))
        cells.add_row(cell.name, *marks)
    console.print(cells)
    left = [row for row in sheet.instances if row["reason"]]
    if left:
        table = Table("Image not analysed", "Kind", "Why")
        for row in left:
            table.add_row(row["sop_instance_uid"], row["header"].kind.value, escape(row["reason"]))
        console.print(table)
    results = Table("Result", "Destination", "State", "Attempts", "Last answer")
    for row in sheet.deliveries:
        name = f"{row['role']} {row['key']}"
        results.add_row(
            name, row["destination"], row["state"], str(row["attempts"]), escape(row["reason"])
        )
    console.print(results)
    events = Table("When", "What", "Event", "To", "Why", "Who")
    for row in sheet.events:
        events.add_row(
            _time(row["at"]),
            row["subject"],
            row["event"],
            row["to_state"],
            escape(row["reason"]),
            escape(row["actor"]),
        )
    console.print(events)


def print_associations(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """One line per association, the newest first."""
    if not rows:
        console.print("No such association is in the log.")
        return
    table = Table("When", "From", "Called", "Objects", "MB", "Seconds", "End", "What to do")
    for row in rows:
        ended = row["closed_at"]
        table.add_row(
            _time(row["opened_at"]),
            escape(f"{row['calling_ae']}@{row['address']}"),
            escape(row["called_ae"]),
            f"{row['objects']}" + (f", {row['refused']} refused" if row["refused"] else ""),
            f"{row['bytes'] / 1e6:.1f}",
            "" if ended is None else f"{ended - row['opened_at']:.1f}",
            row["ending"] or "open",
            escape(row["advice"]),
        )
    console.print(table)


def print_promises(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """One line per transaction in which a peer asked whether its objects are kept."""
    if not rows:
        console.print("Nobody has asked for a Storage Commitment.")
        return
    table = Table("Asked", "By", "Objects", "Kept", "Not kept", "Report", "Tries", "Why")
    for row in rows:
        table.add_row(
            _time(row["asked_at"]),
            escape(f"{row['calling_ae']}@{row['address']}"),
            str(len(row["objects"])),
            *(str(row[name]) if row["reported_at"] else "" for name in ("committed", "failed")),
            row["state"],
            str(row["attempts"]),
            escape(row["reason"]),
        )
    console.print(table)


def print_peers(console: Console, peers: Sequence[Peer]) -> None:
    """One line per peer."""
    if not peers:
        console.print("No peer is listed: everybody who calls the right AE title may come in.")
        return
    table = Table("Name", "AE title", "From", "May call", "Services", "Listed by", "Note")
    for peer in peers:
        table.add_row(
            *(escape(text) for text in (peer.name, peer.ae_title, _where_from(peer))),
            escape(", ".join(peer.called_ae) or "any"),
            ", ".join(service.value for service in peer.services),
            escape(peer.source),
            escape(peer.note),
        )
    console.print(table)


def _where_from(peer: Peer) -> str:
    """Where a peer may call from, and what it must show there."""
    place = (peer.address or "any") + (f", port {peer.port}" if peer.port else "")
    if not peer.certificate:
        return place
    short = peer.certificate[:19] + "…" if peer.certificate.startswith("sha") else peer.certificate
    return f"{place} with {short}"


def print_strangers(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Refused callers, each with the command that lets it in."""
    if not rows:
        console.print("Nobody was refused for who he is.")
    for row in rows:
        who = f"{row['calling_ae'] or '?'}@{row['address']}"
        times = f"{row['times']} times, last {_time(row['opened_at'])}"
        console.print(f"{who} calling {row['called_ae'] or '?'}: {times}", markup=False)
        if row["certificate"]:
            shown = ", ".join((row["certificate"], *row["certificate_names"]))
            console.print(f"    showed {shown}", markup=False)
        console.print(f"    {row['advice']}", markup=False)


def print_destinations(
    console: Console,
    names: Sequence[str],
    reaches: Mapping[str, Reach],
    backlog: Mapping[str, Mapping[str, Any]],
) -> None:
    """One line per destination: whether it is there, what waits, what is not proven."""
    table = Table("Destination", "State", "Waiting", "Refused", "Held", "Not proven", "Why")
    for name in names:
        reach, line = reaches.get(name, Reach()), backlog.get(name, {})
        states = line.get("states", {})
        waiting = sum(states.get(state, 0) for state in ("waiting", "sent", "unknown"))
        since = f"down since {_time(reach.down_since)}" if reach.down and reach.down_since else "up"
        numbers = (waiting, states.get("refused", 0), states.get("held", 0))
        unproven = str(line.get("unproven", 0))
        table.add_row(name, since, *map(str, numbers), unproven, escape(reach.reason))
    console.print(table)


def print_undelivered(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """One line per object that a destination refused, or that waits for a person."""
    if not rows:
        console.print("Nothing is refused or held.")
        return
    table = Table("Since", "Study", "Object", "Destination", "State", "Attempts", "Why")
    for row in rows:
        table.add_row(
            _time(row["updated_at"]),
            row["study_instance_uid"],
            f"{row['role']} {row['key']}",
            row["destination"],
            row["state"],
            str(row["attempts"]),
            escape(row["reason"]),
        )
    console.print(table)


def print_answers(
    console: Console,
    peer: str,
    answers: Sequence[Answer],
    lines: Sequence[str],
    missing: Sequence[str],
) -> None:
    """What a peer takes, the lines of node.toml that say so, what the settings ask in vain."""
    table = Table("Object or service", "Taken", "Transfer syntaxes", "Why not")
    for answer in answers:
        mark = "yes" if answer.accepted else "no"
        table.add_row(answer.name, mark, ", ".join(answer.syntaxes), answer.reason)
    console.print(table)
    if lines:
        console.print("For this destination in node.toml:")
        for line in lines:
            console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
    if not any(line.startswith("outputs") for line in lines):
        console.print(f"{peer} takes no result object: permit them there for our AE title.")
    if missing:
        words = f"Asked for by the settings, but not taken: {', '.join(missing)}."
        console.print(words, style="red", soft_wrap=True)
