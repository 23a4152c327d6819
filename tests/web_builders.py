"""Makes exams in a real ledger, brought to whatever state a page shall show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageDraw

from dicom_node.domain.delivery import DELIVER_ATTEMPTS_PERMANENT, outcome_of
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.instance import ImageKind, InstanceHeader
from dicom_node.domain.job import Job, JobEvent
from dicom_node.domain.study import Judgement, Verdict
from dicom_node.node import plans_of
from dicom_node.settings import Settings, load_settings
from dicom_node.store.archive import Archive
from dicom_node.store.database import Database
from dicom_node.store.deliveries import Parcel, Plan
from dicom_node.store.intake import Received
from dicom_node.store.jobs import Artefact, Ending
from dicom_node.store.ledger import Ledger
from dicom_node.store.migrate import migrate

VIEWS = ("R-CC", "R-MLO", "L-CC", "L-MLO")
MG = "1.2.840.10008.5.1.4.1.1.1.2"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.22"
BUNDLE = "faps-first 0.1.0"
OWNER = "reading-1/6f1c/812/99120"
_PAIR = (ImageKind.LOW_ENERGY, ImageKind.RECOMBINED)
_EVIDENCE = {
    ImageKind.LOW_ENERGY: "Image Type LOW_ENERGY",
    ImageKind.RECOMBINED: "Image Type SUBTRACTION",
}
_SECONDS = {
    "read": 0.82, "segment": 1.31, "outline": 0.21, "classify": 0.94, "preview": 0.33,
    "encode": 0.28,
}  # fmt: skip


@cache
def _empty_ledger() -> bytes:
    """A database as migrations leave it, made once."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        database = Database(f"sqlite:///{file}")
        migrate(database)
        database.close()
        return file.read_bytes()


@dataclass
class Hospital:
    """A node's storage in a folder, with a destination or two."""

    folder: Path
    destinations: Sequence[dict[str, Any]] = ({"name": "pacs", "ae_title": "PACS", "host": "p"},)
    extra: dict[str, Any] = field(default_factory=dict)  # other sections of the settings
    settings: Settings = field(init=False)
    ledger: Ledger = field(init=False)
    archive: Archive = field(init=False)

    def __post_init__(self) -> None:
        self.settings = load_settings(
            overrides={
                "storage": {"data_dir": str(self.folder), "ledger_url": ""},
                "destinations": list(self.destinations),
                **self.extra,
            }
        )
        self.archive = Archive(self.settings.data_dir)
        (self.settings.data_dir / "ledger.db").write_bytes(_empty_ledger())
        self.ledger = Ledger(self.settings.ledger_url)

    def plans(self) -> list[Plan]:
        """What each destination gets."""
        return plans_of(self.settings)

    def exam(self, name: str, **names: str) -> Exam:
        """An exam of which nothing has come yet."""
        return Exam(self, name, **names)


@dataclass
class Exam:
    """One exam on its way; each method takes it one step further and returns it."""

    hospital: Hospital
    name: str
    patient_id: str = "CEM-1"
    accession_number: str = "ACC-1"
    judgement: str = "all expected views are paired"

    @property
    def uid(self) -> str:
        """Its Study Instance UID."""
        return derive_uid("web", self.name)

    def header(self, view: str, kind: ImageKind, **changes: Any) -> InstanceHeader:
        """Header of one of its images."""
        laterality, _, position = view.partition("-")
        fields: dict[str, Any] = {
            "sop_class_uid": MG,
            "sop_instance_uid": derive_uid("web", self.name, view, kind.value),
            "study_instance_uid": self.uid,
            "series_instance_uid": derive_uid("web", self.name, "series"),
            "patient_id": self.patient_id,
            "accession_number": self.accession_number,
            "modality": "MG",
            "kind": kind,
            "kind_evidence": _EVIDENCE.get(kind, "no element names an energy"),
            "laterality": laterality,
            "view": position,
            "rows": 3328,
            "columns": 2560,
            "spacing_mm": (0.07, 0.07),
            "frame_of_reference_uid": derive_uid("web", self.name, view, "frame"),
        }
        return InstanceHeader(**fields | changes)

    def receive(
        self, views: Sequence[str] = VIEWS, kinds: Sequence[ImageKind] = _PAIR, **changes: Any
    ) -> Exam:
        """Images come in."""
        for view in views:
            for kind in kinds:
                header = self.header(view, kind, **changes)
                sha256 = self.hospital.archive.put(header.sop_instance_uid.encode())
                self.hospital.ledger.intake.record_instance(
                    Received(
                        header=header,
                        sha256=sha256,
                        size=17_039_360,
                        association_id=None,
                        calling_ae="MAMMO1",
                    )
                )
        return self

    def close(self, verdict: Verdict = Verdict.READY, reason: str = "") -> Exam:
        """The node judges the exam complete, hopeless, or in need of a person."""
        studies, _ = self.hospital.ledger.studies.open_studies()
        (study,) = [study for study in studies if study.study_instance_uid == self.uid]
        self.hospital.ledger.studies.close(study, Judgement(verdict, reason or self.judgement))
        return self

    def object_uids(self) -> set[str]:
        """SOP Instance UIDs of its result objects."""
        sheet = self.hospital.ledger.overview.sheet(self.uid, ())
        assert sheet is not None
        return {row["sop_instance_uid"] for row in sheet.artefacts}

    def job_id(self) -> str:
        """Its newest job."""
        job_id = self.hospital.ledger.revisions.newest_job(self.uid)
        assert job_id is not None
        return job_id

    def claim(self) -> Job:
        """A worker begins."""
        job = self.hospital.ledger.jobs.claim(self.job_id(), OWNER, 60.0)
        assert job is not None
        return job

    def finish(self, objects: Sequence[tuple[str, str, bytes]], **ending: Any) -> Exam:
        """A worker begins, stores ``objects`` (role, key, content), ends."""
        job = self.claim()
        artefacts = [self._artefact(job, *made) for made in objects]
        fields: dict[str, Any] = {
            "event": JobEvent.RESULTS_STORED, "bundle": BUNDLE, "seconds": _SECONDS
        }  # fmt: skip
        self.hospital.ledger.jobs.finish(job, artefacts, Ending(**fields | ending))
        return self

    def analyse(self, malignant: str = "R", views: Sequence[str] = VIEWS) -> Exam:
        """A worker finds one lesion in each view of the breast named by ``malignant``."""
        segs = [("seg", view, view.encode()) for view in views if view[0] == malignant]
        pictures = [
            (role, view, picture(view, heat=role == "heat_map"))
            for view in views
            for role in ("preview", "heat_map")
        ]
        record = json.dumps(analysis(views, malignant)).encode()
        report = ("sr", "exam", b"report " + self.uid.encode())
        return self.finish([*segs, report, ("analysis", "exam", record), *pictures])

    def deliver(self, *statuses: int, confirm: bool = False) -> Exam:
        """Send whatever is due anywhere.

        ``statuses`` are the answers to this exam's objects, the last to all that follow; other
        exams' objects are accepted.
        """
        ledger = self.hospital.ledger.deliveries
        plans = self.hospital.plans()
        ledger.plan(plans)
        answers = list(statuses) or [0x0000]
        for plan in plans:
            while parcels := ledger.due(plan.name):
                self._send(parcels, answers)
            if confirm and plan.needs_commitment:
                self.hospital.ledger.proofs.confirm(
                    self.job_id(), plan.name, self.object_uids(), {}
                )
        return self

    def _send(self, parcels: Sequence[Parcel], answers: list[int]) -> None:
        ledger = self.hospital.ledger.deliveries
        for parcel in parcels:
            status = 0x0000
            if parcel.study_instance_uid == self.uid:
                status = answers.pop(0) if len(answers) > 1 else answers[0]
            ledger.begin(parcel)
            ledger.end(parcel, outcome_of(status))

    def refuse(self, status: int) -> Exam:
        """Send until the destination's no is final."""
        self.deliver(status)
        for _ in range(DELIVER_ATTEMPTS_PERMANENT - 1):
            self.hospital.ledger.deliveries.resend(self.job_id(), None, "a test")
            self.deliver(status)
        return self

    def _artefact(self, job: Job, role: str, key: str, content: bytes) -> Artefact:
        classes = {"seg": SEG, "sr": SR, "sr_2d": SR}
        media = {"analysis": "application/json", "preview": "image/png", "heat_map": "image/png"}
        is_dicom = role in classes
        return Artefact(
            role=role,
            key=key,
            media_type=media.get(role, "application/dicom"),
            sop_class_uid=classes.get(role, ""),
            sop_instance_uid=derive_uid("web", job.id, role, key) if is_dicom else "",
            sha256=self.hospital.archive.put(content),
            size=len(content),
        )


def analysis(views: Sequence[str] = VIEWS, malignant: str = "R") -> dict[str, Any]:
    """A record as a worker writes it, with a lesion in each view of one breast."""
    findings = [
        {
            "laterality": side,
            "p_malignant": 0.8342 if side == malignant else None,
            "decision": "malignant" if side == malignant else "no_lesion",
            "views": [_view(view, found=side == malignant) for view in views if view[0] == side],
        }
        for side in ("R", "L")
    ]
    return {
        "schema": "faps-analysis/1",
        "status": "complete",
        "reason": "",
        "conclusion": "Right breast: 1 lesion in CC, 1 lesion in MLO; probability of malignancy "
        "83.4 %; assessment of the model: malignant. Left breast (CC, MLO): no lesion found.",
        "limitations": ["Research use, not for diagnosis.", "The model bundle is not signed."],
        "model": {
            "name": "faps-first",
            "version": "0.1.0",
            "statement": "Trained on public images and phantoms, for research",
        },
        "findings": findings,
    }


def _view(view: str, *, found: bool) -> dict[str, Any]:
    lesion = {"number": 1, "long_axis_mm": 14.26, "area_mm2": 121.4, "peak_probability": 0.972}
    return {
        "key": view,
        "has_heat_map": found,
        "pairing": {"evidence": "Frame of Reference UID", "weak": False},
        "lesions": [lesion] if found else [],
    }


def picture(view: str, *, heat: bool = False, size: tuple[int, int] = (385, 500)) -> bytes:
    """A PNG that looks a little like a mammogram; no two views have the same bytes."""
    width, height = size
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    edge = 0 if view.startswith("L") else width
    draw.ellipse((edge - 250, 40, edge + 250, height - 40), fill=(96, 96, 96))
    spot = (abs(edge - 150), 220)
    box = (spot[0] - 30, spot[1] - 30, spot[0] + 30, spot[1] + 30)
    draw.ellipse(box, fill=(240, 140, 30) if heat else None, outline=(255, 150, 30), width=3)
    draw.text((10, 10) if edge else (width - 60, 10), view, fill=(230, 230, 230))
    stream = BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
