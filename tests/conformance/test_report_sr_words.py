"""What people read in a report, and whose it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.analysis_builders import (
    CARD,
    WAYS,
    analysis,
    bare_header,
    header,
    negative_breast,
    right_breast,
)
from tests.report_reader import codes, concept, lesion_groups, report_of, texts

COMMENT = "121106"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("magnification", "corrected by the estimated radiographic magnification factor"),
        ("calibrated", "calibrated pixel spacing"),
        ("uncorrected", "uncorrected for magnification"),
        ("none", "no sizes in millimetres"),
    ],
)
def test_the_report_says_how_sizes_were_measured(rule: str, words: str):
    comments = texts(report_of(analysis(right_breast(spacing_rule=rule))), COMMENT)
    assert sum(words in comment for comment in comments) == 2


def test_limits_of_pairing_and_model_are_named():
    comments = texts(report_of(analysis(right_breast(weak=True))), COMMENT)
    assert (
        "R CC: low-energy and recombined image were paired on weak evidence: "
        "nearest acquisition time."
    ) in comments
    assert "The model bundle is not signed: its origin has not been verified." in comments
    signed = analysis(right_breast(), card=replace(CARD, signed=True, clinical=True))
    assert not any(
        "not signed" in words or "clinical" in words for words in texts(report_of(signed), COMMENT)
    )


def test_the_algorithm_is_identified_with_thresholds_and_weights():
    (group, *_) = lesion_groups(WAYS["positive one breast"])
    parameters = [item.TextValue for item in group[0].ContentSequence if concept(item) == "111002"]
    assert parameters == [
        "networks: RefineNet-LW18 + Xception-PPM",
        "threshold lesion_gate: 0.6",
        "threshold malignant: 0.42",
        "threshold segment: 0.5",
        "weights sha256: 0123456789abcdef",
        "precision: float32",
    ]


def test_the_studys_own_procedure_codes_are_reported():
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator = "CEM2", "99LOCAL"
    procedure.CodeMeaning = "CEM both sides"
    own = {"ProcedureCodeSequence": Sequence([procedure])}
    assert codes(report_of(analysis(negative_breast("R", **own))), "121058") == ["CEM2"]
    assert codes(report_of(WAYS["negative"]), "121058") == ["71651007"]


def test_headers_of_another_study_are_left_out():
    stranger = header(study="another")
    made = WAYS["negative"]
    made = replace(made, headers=(*made.headers, stranger))
    (study,) = report_of(made).CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == made.run.study_instance_uid
    assert str(stranger.SOPInstanceUID) not in str(study)


def test_the_first_header_gives_the_patient_when_nothing_was_analysed():
    named = bare_header()
    named.PatientName, named.PatientID = "Known^Anyhow", "P-7"
    report = report_of(replace(WAYS["failed"], headers=(named,)))
    assert (report.PatientName, report.PatientID) == ("Known^Anyhow", "P-7")
