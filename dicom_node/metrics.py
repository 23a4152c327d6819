"""What a Prometheus server scrapes, made afresh from the ledger's numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dicom_node.domain.association import Ending
from dicom_node.domain.certificate import Certificate
from dicom_node.domain.delivery import DeliveryState
from dicom_node.domain.job import JobState
from dicom_node.domain.procedure import ProcedureState
from dicom_node.domain.promise import PromiseState
from dicom_node.domain.pull import PullState
from dicom_node.domain.study import StudyState
from dicom_node.store.disk import Room
from dicom_node.store.verification import FileFault

CONTENT_TYPE = CONTENT_TYPE_LATEST
# States known beforehand are told as 0, so that an alarm rule sees a number and not a gap.
_KNOWN: Mapping[str, type[Enum]] = {
    "studies": StudyState, "jobs": JobState, "deliveries": DeliveryState,
    "promises": PromiseState, "procedures": ProcedureState, "pulls": PullState,
    "files": FileFault,
}  # fmt: skip
_HELP = {
    "instances": "Received instances by state",
    "studies": "Studies by state",
    "jobs": "Analyses by state, one for each revision of a study",
    "deliveries": "Result objects on their way to destinations, by state",
    "files": "Files of images and results that are missing or have changed on the disk",
    "promises": "Storage Commitments that were asked of the node, by state of the report",
    "procedures": "Steps that modalities perform (MPPS), by state",
    "pulls": "Orders to fetch images from a PACS, by state",
}


@dataclass(frozen=True, kw_only=True)
class Post:
    """How each destination is."""

    up: Mapping[str, bool] = field(default_factory=dict)
    backlog: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # as the ledger tells it

    def collect(self) -> Iterable[Metric]:
        """A gauge for each question that an alarm may ask about a destination."""
        told: tuple[tuple[str, str, Mapping[str, float]], ...] = (
            ("up", "Whether the destination is there, as far as is known", self.up),
            (
                "oldest_seconds", "How long the oldest undelivered object has waited",
                {name: line["oldest_s"] for name, line in self.backlog.items()},
            ),
        )  # fmt: skip
        for name, help_text, values in told:
            gauge = GaugeMetricFamily(
                f"faps_node_destination_{name}", help_text, labels=["destination"]
            )
            for destination, value in sorted(values.items()):
                gauge.add_metric([destination], float(value))
            yield gauge
        by_state = GaugeMetricFamily(
            "faps_node_deliveries_by_destination",
            "Result objects by destination and state",
            labels=["destination", "state"],
        )
        unproven = GaugeMetricFamily(
            "faps_node_deliveries_unproven",
            "Result objects of which a proof asked for cannot be had",
            labels=["destination"],
        )
        for destination, line in sorted(self.backlog.items()):
            for state, number in sorted(line["states"].items()):
                by_state.add_metric([destination, state], number)
            unproven.add_metric([destination], line["unproven"])
        yield from (by_state, unproven)


class _LedgerNumbers(Collector):
    """The ledger's counts as gauges; no label ever names a patient, a study or an address."""

    def __init__(
        self,
        counts: Mapping[str, Mapping[str, int]],
        bundles: Iterable[str],
        replaced: Mapping[tuple[str, str], int],
        associations: Mapping[str, int],
        post: Post,
        *,
        ledger_up: bool,
    ) -> None:
        self._post = post
        self._associations = associations
        self._counts = counts
        self._replaced = replaced
        self._bundles = Counter(bundles)
        self._ledger_up = ledger_up

    def collect(self) -> Iterable[Metric]:
        """Every gauge, in a fixed order."""
        yield GaugeMetricFamily(
            "faps_node_ledger_up", "Whether the database answers", value=float(self._ledger_up)
        )
        if not self._ledger_up:
            return
        for table, help_text in _HELP.items():
            gauge = GaugeMetricFamily(f"faps_node_{table}", help_text, labels=["state"])
            known = _KNOWN.get(table)
            zeros = {str(state.value): 0 for state in known if state.value} if known else {}
            for state, number in sorted((zeros | dict(self._counts.get(table, {}))).items()):
                gauge.add_metric([state], number)
            yield gauge
        fallbacks = GaugeMetricFamily(
            "faps_node_fallbacks",
            "Result objects that others took the place of: their class is not taken",
            labels=["destination", "role"],
        )
        for (destination, role), number in sorted(self._replaced.items()):
            fallbacks.add_metric([destination, role], number)
        yield fallbacks
        yield from self._post.collect()
        yield self._endings()
        workers = GaugeMetricFamily(
            "faps_node_workers_alive", "Workers heard of lately", value=self._bundles.total()
        )
        yield workers
        by_bundle = GaugeMetricFamily(
            "faps_node_workers_by_bundle", "Workers heard of lately, by bundle", labels=["bundle"]
        )
        for bundle, number in sorted(self._bundles.items()):
            by_bundle.add_metric([bundle], number)
        yield by_bundle

    def _endings(self) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(
            "faps_node_associations",
            "Associations in the log by how they ended, open for those that have not",
            labels=["ending"],
        )
        zeros = {"open": 0} | {ending.value: 0 for ending in Ending}
        for ending, number in sorted((zeros | dict(self._associations)).items()):
            gauge.add_metric([ending], number)
        return gauge


class _Disk(Collector):
    """The room on the data folder's disk."""

    def __init__(self, room: Room, quarantined: int) -> None:
        self._room = room
        self._quarantined = quarantined

    def collect(self) -> Iterable[Metric]:
        """Free bytes, and whether nothing is received for want of them."""
        yield GaugeMetricFamily(
            "faps_node_disk_free_bytes", "Free bytes of the data folder's disk", self._room.free
        )
        yield GaugeMetricFamily(
            "faps_node_disk_short",
            "Whether images are refused because the disk is too full",
            float(bool(self._room.shortage)),
        )
        yield GaugeMetricFamily(
            "faps_node_quarantined_files",
            "Files that no row named, set aside in the data folder",
            self._quarantined,
        )


class _Certificates(Collector):
    """Until when the certificates are valid that the settings name."""

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        self._certificates = certificates

    def collect(self) -> Iterable[Metric]:
        """One gauge for each; `(x - time()) / 86400` is days left."""
        gauge = GaugeMetricFamily(
            "faps_node_certificate_not_after_seconds",
            "When a certificate expires, in seconds since 1970; use is the setting of its file",
            labels=["use", "fingerprint"],
        )
        # A file may name one twice, and a label set may stand here once.
        for (use, short), until in {
            (one.use, one.fingerprint[:16]): one.not_after for one in self._certificates
        }.items():
            gauge.add_metric([use, short], until)
        yield gauge


class _Audit(Collector):
    """The audit trail."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting

    def collect(self) -> Iterable[Metric]:
        """How many events the audit repository was not told of yet."""
        yield GaugeMetricFamily(
            "faps_node_audit_waiting",
            "Sealed events that wait to be handed over; without audit.host, all there are",
            self._waiting,
        )


class _Build(Collector):
    """Which version runs."""

    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterable[Metric]:
        """One info metric."""
        yield InfoMetricFamily(
            "faps_node_build", "Version of the node", value={"version": self._version}
        )


def exposition(
    counts: Mapping[str, Mapping[str, int]] | None,
    bundles: Iterable[str],
    version: str,
    replaced: Mapping[tuple[str, str], int] = MappingProxyType({}),
    associations: Mapping[str, int] = MappingProxyType({}),
    room: Room | None = None,
    quarantined: int = 0,
    certificates: Sequence[Certificate] = (),
    post: Post | None = None,
    audit_waiting: int | None = None,
) -> bytes:
    """Prometheus text of the counts by table and state, of the workers' bundles, of the version.

    ``replaced`` counts objects that others took the place of, by destination and role;
    ``associations`` those of the log, by ending. ``counts`` is ``None`` when the database does not
    answer; the text then says so, because a scrape that fails could not be told from a node that
    is down.
    """
    registry = CollectorRegistry()
    registry.register(
        _LedgerNumbers(
            counts or {},
            bundles,
            replaced,
            associations,
            post or Post(),
            ledger_up=counts is not None,
        )
    )
    registry.register(_Build(version))
    if audit_waiting is not None:
        registry.register(_Audit(audit_waiting))
    if room is not None:
        registry.register(_Disk(room, quarantined))
    if certificates:
        registry.register(_Certificates(certificates))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
