"""Every lossless transfer syntax gives the same result as the uncompressed one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.compressed import SYNTAXES, recode
from tests.e2e.conftest import Hospital, MakeExam, as_new_study, study_of
from tests.peers import dcmsend, dicom_node, storescu

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk]
# How storescu is told to keep a file's syntax; without, it converts what it can.
STORESCU = {
    ExplicitVRLittleEndian: "-xe",
    ImplicitVRLittleEndian: "-xi",
    ExplicitVRBigEndian: "-xb",
    JPEGLosslessSV1: "-xs",
    JPEGLSLossless: "-xt",
    JPEG2000Lossless: "-xv",
    RLELossless: "-xr",
}
DCMSEND = {JPEGLossless}
# HTJ2K is newer than Debian's DCMTK: our own sender stands in.
SEED = 3


@pytest.fixture(scope="module")
def studies(
    hospital: Hospital, make_exam: MakeExam, tmp_path_factory: pytest.TempPathFactory
) -> dict[UID, str]:
    """A pair sent in every syntax, each as a study of its own: they wait and are analysed together.

    The study of each syntax.
    """
    pair, sent = make_exam(seed=SEED, views=("R_CC",)), {}
    for syntax in SYNTAXES:
        plain, coded = (tmp_path_factory.mktemp(name) for name in ("plain", "coded"))
        as_new_study(pair, plain, syntax)
        for path in plain.glob("*.dcm"):
            if syntax == ExplicitVRLittleEndian:
                shutil.copy2(path, coded / path.name)
            else:
                recode(path, coded / path.name, syntax)
        send(hospital.node.port, coded, syntax)
        sent[syntax] = study_of(plain)
    return sent


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name.replace(" ", "-"))
def test_a_pair_in_this_syntax_is_kept_as_sent_and_analysed(
    hospital: Hospital, studies: dict[UID, str], syntax: UID
) -> None:
    sheet = hospital.node.wait_for_state(studies[syntax], "confirmed", "failed", "unsuitable")
    assert sheet.line.state == "confirmed", sheet.line.reason
    assert {row["header"].transfer_syntax_uid for row in sheet.instances} == {str(syntax)}
    found = analysis(hospital, sheet.artefacts)
    # The same pixels in every syntax: the same probability to the last digit.
    assert found == EXPECTED.setdefault("first", found)


EXPECTED: dict[str, object] = {}


def send(port: int, folder: Path, syntax: UID) -> None:
    if syntax in STORESCU:
        storescu(port, sorted(folder.glob("*.dcm")), STORESCU[syntax])
    elif syntax in DCMSEND:
        dcmsend(port, folder, "--decompress-never")
    else:
        result = dicom_node("send", str(folder), "--to", f"FAPS@127.0.0.1:{port}")
        assert result.returncode == 0, result.stderr


def analysis(hospital: Hospital, artefacts: tuple[dict[str, object], ...]) -> object:
    stored = next(row for row in artefacts if row["role"] == "analysis")
    record = json.loads(hospital.node.archive.read(str(stored["sha256"])))
    return [
        (
            finding["laterality"],
            finding["p_malignant"],
            [
                [(lesion["area_px"], lesion["long_axis"]) for lesion in view["lesions"]]
                for view in finding["views"]
            ],
        )
        for finding in record["findings"]
    ]
