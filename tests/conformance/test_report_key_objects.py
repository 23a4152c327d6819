"""The Key Object Selection leads to the views with a lesion and to nothing else."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.analysis_builders import WAYS, analysis, encoded, negative_breast
from tests.conformance.validators import dciodvfy_errors, dsrdump_complaints, find_tool
from tests.report_reader import concept, items, read, texts, written
from worker.contracts import Analysis, Role
from worker.report.encode import encode
from worker.report.identity import named_views
from worker.report.key_objects import key_objects

POSITIVE = [way for way, made in WAYS.items() if any(v.result.lesions for v in named_views(made))]
SEG, SC = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize("way", POSITIVE)
def test_dciodvfy_finds_no_error_in_a_selection(way: str, tmp_path: Path):
    (file,) = written(WAYS[way], tmp_path, Role.KEY_OBJECTS)
    assert dciodvfy_errors(file) == []


@pytest.mark.dcmtk
@pytest.mark.skipif(find_tool("dsrdump") is None, reason="Debian's dcmtk is not installed")
@pytest.mark.parametrize("way", POSITIVE)
def test_dsrdump_reads_every_selection(way: str, tmp_path: Path):
    (file,) = written(WAYS[way], tmp_path, Role.KEY_OBJECTS)
    unchecked = "W: Check for template constraints not yet supported"
    assert set(dsrdump_complaints(file)) <= {unchecked}


@pytest.mark.parametrize("way", [way for way in WAYS if way not in POSITIVE])
def test_without_a_lesion_there_is_none(way: str):
    assert Role.KEY_OBJECTS not in {r.role for r in encoded(WAYS[way])}
    assert key_objects(analysis(negative_breast("L")), []) is None


def test_title_and_description_say_why():
    ds = _selection(WAYS["positive one breast"])
    assert concept(ds) == "113000"
    assert texts(ds, "113012") == ["AI: views with a lesion; research use, not for diagnosis"]
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    assert (ds.Modality, ds.SOPClassUID) == ("KO", "1.2.840.10008.5.1.4.1.1.88.59")
    assert ds.SeriesDescription == "AI key images: 2 views (not reviewed)"
    observers = {concept(item): item for item in ds.ContentSequence}
    assert observers["121005"].ConceptCodeSequence[0].CodeValue == "121007"  # a device
    assert ds.DeviceUID == observers["121012"].UID


@pytest.mark.parametrize("way", POSITIVE)
def test_images_with_a_lesion_come_first_each_with_its_presentation_state(way: str):
    made = WAYS[way]
    shown = [view for view in named_views(made) if view.result.lesions]
    states = {r.key: r.sop_instance_uid for r in encoded(made) if r.role is Role.GSPS}
    images = _references(_selection(made))[: len(shown)]
    for image, view in zip(images, shown, strict=True):
        assert image.ReferencedSOPInstanceUID == view.result.recombined.SOPInstanceUID
        (state,) = image.ReferencedSOPSequence
        assert state.ReferencedSOPInstanceUID == states[view.key]


def test_pictures_and_masks_of_those_views_follow():
    made = WAYS["positive one breast"]
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    results = encode(made, {view.key: picture for view in named_views(made)})
    (selection,) = [read(r.content) for r in results if r.role is Role.KEY_OBJECTS]
    uids = {(r.role, r.key): r.sop_instance_uid for r in results}
    followers = _references(selection)[2:]
    assert [(f.ReferencedSOPClassUID, f.ReferencedSOPInstanceUID) for f in followers] == [
        (sop_class, uids[role, key])
        for key in ("R-CC", "R-MLO")
        for sop_class, role in ((SC, Role.SC), (SEG, Role.SEG))
    ]
    assert _evidence(selection) == _named(selection)
    assert hd.ko.KeyObjectSelectionDocument.from_dataset(selection).content is not None


@pytest.mark.parametrize("way", POSITIVE)
def test_references_have_no_concept_name_and_stand_in_the_evidence(way: str):
    ds = _selection(WAYS[way])
    for item in items(ds):
        assert item.ValueType != "IMAGE" or "ConceptNameCodeSequence" not in item
    assert _evidence(ds) == _named(ds)


@pytest.mark.parametrize("way", POSITIVE)
def test_the_evidence_names_the_series_in_which_the_objects_are(way: str):
    made = WAYS[way]
    series = {ds.SOPInstanceUID: ds.SeriesInstanceUID for ds in made.headers}
    for result in encoded(made):
        if result.role in {Role.SEG, Role.GSPS}:
            series[result.sop_instance_uid] = read(result.content).SeriesInstanceUID
    (study,) = _selection(made).CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == made.headers[0].StudyInstanceUID
    for item in study.ReferencedSeriesSequence:
        for reference in item.ReferencedSOPSequence:
            assert series[reference.ReferencedSOPInstanceUID] == item.SeriesInstanceUID


def _selection(made: Analysis) -> Dataset:
    (content,) = [r.content for r in encoded(made) if r.role is Role.KEY_OBJECTS]
    return read(content)


def _references(ds: Dataset) -> list[Dataset]:
    return [i.ReferencedSOPSequence[0] for i in ds.ContentSequence if i.ValueType == "IMAGE"]


def _named(ds: Dataset) -> set[str]:
    """Every instance that the tree refers to."""
    images = _references(ds)
    states = [state for image in images for state in image.get("ReferencedSOPSequence", ())]
    return {reference.ReferencedSOPInstanceUID for reference in (*images, *states)}


def _evidence(ds: Dataset) -> set[str]:
    return {
        reference.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
