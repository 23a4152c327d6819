"""``faps``: the analysis without a network, as a researcher uses it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydicom import dcmread

from tests.authors_networks import authors_classifier, authors_inputs, weights
from tests.conformance.validators import dciodvfy_errors
from tests.e2e.conftest import MakeExam, study_of
from tests.peers import faps, from_scratch
from tests.public_data import write_prepared


def test_a_folder_is_analysed_into_the_same_objects_as_the_node_sends(
    make_exam: MakeExam, tmp_path: Path
) -> None:
    exam = make_exam(seed=5)
    result = faps("analyse", str(exam), "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "not for diagnosis" in result.stdout
    record = json.loads((tmp_path / "analysis.json").read_text())
    assert record["study_instance_uid"] == study_of(exam)
    assert record["status"] == "complete"
    report = dcmread(tmp_path / "sr_exam.dcm")
    assert report.StudyInstanceUID == study_of(exam)
    for path in tmp_path.glob("*.dcm"):
        assert dciodvfy_errors(path) == []
    for view in ("R-CC", "R-MLO", "L-CC", "L-MLO"):
        assert (tmp_path / f"preview_{view}.png").exists()


def test_an_empty_folder_is_said_in_one_line(tmp_path: Path) -> None:
    result = from_scratch("worker", "analyse", str(tmp_path), "--out", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "no DICOM file there" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_picture_without_its_partner_is_refused_by_name(tmp_path: Path) -> None:
    picture = tmp_path / "P9_L_CM_CC.jpg"
    Image.fromarray(np.zeros((700, 600), np.uint8)).save(picture)
    result = faps("dicomize", str(picture), "--out", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "P9_L_DM_CC.jpg" in result.stderr
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_bundle_with_a_changed_byte_is_refused(tmp_path: Path, make_exam: MakeExam) -> None:
    from worker.bundle import default_bundle

    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for path in default_bundle().iterdir():
        (bundle / path.name).write_bytes(path.read_bytes())
    weights = bundle / "segmentation.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    exam = make_exam(seed=5)
    result = faps("analyse", str(exam), "--out", str(tmp_path / "o"), "--bundle", str(bundle))
    assert result.returncode == 1
    assert "segmentation.safetensors" in result.stderr


def test_the_same_files_give_the_same_bytes_and_probabilities(
    tmp_path: Path, make_exam: MakeExam
) -> None:
    exam = make_exam(seed=5)
    for name in ("once", "again"):
        result = faps("analyse", str(exam), "--out", str(tmp_path / name))
        assert result.returncode == 0, result.stderr
    objects = sorted(path.name for path in (tmp_path / "once").glob("*.dcm"))
    assert any(name.startswith("seg") for name in objects)
    for name in (*objects, *(p.name for p in (tmp_path / "once").glob("*.png"))):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    once, again = (
        json.loads((tmp_path / name / "analysis.json").read_text()) for name in ("once", "again")
    )
    assert once["findings"] == again["findings"]
    assert any(finding["p_malignant"] for finding in once["findings"])


def test_a_checkpoint_becomes_a_bundle_that_answers_is_shown_and_signed(tmp_path: Path) -> None:
    checkpoint, bundle = tmp_path / "small.pth", str(tmp_path / "bundle")
    torch.save(weights(authors_classifier(width=0.25)), checkpoint)
    result = faps("convert", "--kind", "classification", "--from", str(checkpoint), "--out", bundle)
    assert result.returncode == 0, result.stderr
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() in result.stdout
    inputs = [str(tmp_path / f"{name}.npy") for name in ("le0", "rc0", "le1", "rc1")]
    for path, array in zip(inputs, authors_inputs("classification"), strict=True):
        np.save(path, array)
    out = tmp_path / "logits.npy"
    result = faps(
        "forward", "--bundle", bundle, "--network", "classification", "--inputs", *inputs,
        "--out", str(out),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert np.load(out).shape == (1, 2)
    assert "NOT SIGNED" in faps("bundle", "show", bundle).stdout
    assert faps("bundle", "verify", bundle).returncode == 1
    key = tmp_path / "site.pem"
    public = tmp_path / "site.pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    assert faps("bundle", "sign", bundle, "--key", str(key)).returncode == 0
    result = faps("bundle", "verify", bundle, "--trust", str(public))
    assert result.returncode == 0, result.stderr
    assert "of a trusted key" in result.stdout


def test_a_bundle_is_measured_on_a_folder_of_public_data(tmp_path: Path) -> None:
    data, out = write_prepared(tmp_path / "data"), tmp_path / "out"
    result = faps("evaluate", "--data", str(data), "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert "not for diagnosis" in result.stdout
    report = json.loads((out / "report.json").read_text())
    assert report["segmentation"]["n"] == 4
    assert 0 <= report["segmentation"]["dice_mean"] <= 1
    assert report["classification"]["n"] == 8
    assert len(report["classification"]["auc_ci"]) == 2
    assert report["seconds_per_case"] > 0
    page = (out / "report.html").read_text()
    assert "Research use, not for diagnosis" in page
    assert "<svg" in page


def test_public_data_of_an_unknown_layout_is_refused_in_one_line(tmp_path: Path) -> None:
    result = faps("evaluate", "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "is no CDD-CESM folder" in result.stderr
    assert "Traceback" not in result.stderr
