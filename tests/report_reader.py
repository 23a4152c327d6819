"""Takes reports apart: content items by their concept."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import highdicom as hd
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from tests.analysis_builders import encoded
from worker.contracts import Analysis, Role


def report_of(made: Analysis, role: Role = Role.SR) -> Dataset:
    (content,) = [r.content for r in encoded(made) if r.role is role]
    return read(content)


def lesion_groups(
    made: Analysis,
) -> list[hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    (content,) = [r.content for r in encoded(made) if r.role is Role.SR]
    return list(hd.sr.srread(BytesIO(content)).content.get_planar_roi_measurement_groups())


def objects_by_view(made: Analysis, role: Role) -> dict[str, Dataset]:
    return {r.key: read(r.content) for r in encoded(made) if r.role is role}


def written(made: Analysis, folder: Path, *roles: Role) -> list[Path]:
    files = []
    for result in encoded(made):
        if result.role in roles:
            files.append(folder / f"{result.role.value}-{result.key}.dcm")
            files[-1].write_bytes(result.content)
    return files


def read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


def items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from items(child)


def evidence_of(report: Dataset) -> set[str]:
    """UIDs of Current Requested Procedure Evidence."""
    return {
        str(reference.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }


def concept(item: Dataset) -> str:
    name = item.get("ConceptNameCodeSequence")
    return str(name[0].CodeValue) if name else ""


def codes(report: Dataset, wanted: str) -> list[str]:
    return [i.ConceptCodeSequence[0].CodeValue for i in items(report) if concept(i) == wanted]


def texts(report: Dataset, wanted: str) -> list[str]:
    return [i.TextValue for i in items(report) if concept(i) == wanted]


def code(value: str) -> Code:
    return Code(value, "DCM", "any")
