"""The ledger as one object, one attribute for each stage that uses it."""

from __future__ import annotations

from dicom_node.store.associations import AssociationLedger
from dicom_node.store.chain import ChainLedger
from dicom_node.store.clock import ClockLedger
from dicom_node.store.commitments import CommitmentLedger
from dicom_node.store.database import Database
from dicom_node.store.deliveries import DeliveryLedger
from dicom_node.store.destinations import DestinationLedger
from dicom_node.store.fallbacks import FallbackLedger
from dicom_node.store.intake import IntakeLedger
from dicom_node.store.jobs import JobLedger
from dicom_node.store.overview import Overview
from dicom_node.store.peers import PeerLedger
from dicom_node.store.procedures import ProcedureLedger
from dicom_node.store.promises import PromiseLedger
from dicom_node.store.proofs import ProofLedger
from dicom_node.store.pulls import PullLedger
from dicom_node.store.rechecks import RecheckLedger
from dicom_node.store.retention import RetentionLedger
from dicom_node.store.revisions import RevisionLedger
from dicom_node.store.studies import StudyLedger
from dicom_node.store.trail import TrailLedger
from dicom_node.store.verification import VerificationLedger
from dicom_node.store.withdrawals import WithdrawalLedger
from dicom_node.store.workers import WorkerLedger
from dicom_node.store.writer import Writer


class Ledger:
    """SQL is the truth; every query has a method named after the act."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.writer = Writer(self.database)
        self.associations = AssociationLedger(self.database, self.writer)
        self.peers = PeerLedger(self.database)
        self.retention = RetentionLedger(self.database)
        self.intake = IntakeLedger(self.writer)
        self.studies = StudyLedger(self.database)
        self.jobs = JobLedger(self.database)
        self.deliveries = DeliveryLedger(self.database)
        self.destinations = DestinationLedger(self.database)
        self.proofs = ProofLedger(self.database)
        self.rechecks = RecheckLedger(self.database)
        self.fallbacks = FallbackLedger(self.database)
        self.commitments = CommitmentLedger(self.database)
        self.promises = PromiseLedger(self.database)
        self.pulls = PullLedger(self.database)
        self.procedures = ProcedureLedger(self.database)
        self.revisions = RevisionLedger(self.database)
        self.withdrawals = WithdrawalLedger(self.database)
        self.verification = VerificationLedger(self.database)
        self.chain = ChainLedger(self.database)
        self.trail = TrailLedger(self.database)
        self.clock = ClockLedger(self.database)
        self.workers = WorkerLedger(self.database)
        self.overview = Overview(self.database)

    def close(self) -> None:
        """Write what is left, give all connections back."""
        self.writer.stop()
        self.database.close()
