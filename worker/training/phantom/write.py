"""Synthetic exams as folders of DICOM files with their truth."""

from __future__ import annotations

import json
import multiprocessing
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.domain.identifiers import derive_uid
from worker.training.cem_dicom import CemImage, Dialect, Energy, cem_dataset
from worker.training.phantom.exam import VIEWS, PhantomExam, PhantomView, phantom_exam

ACQUIRED = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # where no time is given: nothing reads a clock
_PAIR: tuple[Energy, ...] = ("low_energy", "recombined")


@dataclass(frozen=True)
class _Order:
    """One view to make in a process of its own."""

    folder: Path
    seed: int
    view: tuple[str, str]
    rows: int
    columns: int
    spacing_mm: float
    lesions: Mapping[str, int] | None
    malignant: bool | None
    writing: _Writing


@dataclass(frozen=True)
class _Writing:
    """How the files are written."""

    dialect: Dialect
    run: str
    acquired: datetime
    masks: bool


def write_exam(
    exam: PhantomExam,
    out: Path,
    *,
    dialect: Dialect = "standard",
    run: str = "",
    acquired: datetime = ACQUIRED,
    masks: bool = False,
) -> list[Path]:
    """Write ``R_CC_low_energy.dcm`` and so on with ``truth.json``; gives the DICOM files.

    The same exam with the same ``run`` has the same UIDs; another ``run`` is another study.
    ``masks`` adds ``R_CC_masks.npz`` per view, array ``lesions`` (N, rows, columns) bool.
    """
    out.mkdir(parents=True, exist_ok=True)
    writing = _Writing(dialect, run, acquired, masks)
    files = [path for view in exam.views for path in _write_view(exam, view, out, writing)]
    _write_truth(out, exam, [view_truth(view) for view in exam.views])
    return files


def write_exams(
    out: Path,
    *,
    exams: int = 1,
    seed: int = 1,
    dialect: Dialect = "standard",
    rows: int = 3328,
    columns: int = 2560,
    spacing_mm: float = 0.07,
    lesions: Mapping[str, int] | None = None,
    malignant: bool | None = None,
    run: str = "",
    acquired: datetime = ACQUIRED,
    masks: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Make exams ``seed``, ``seed + 1``, ... in ``out/exam-0001``, ...; gives their folders.

    A full exam takes about 7 s of one core; from the second on views are shared among processes
    (``workers``, None: one per core). ``progress`` is called with views done and views in all.
    """
    writing = _Writing(dialect, run, acquired, masks)
    orders = []
    for number in range(exams):
        folder = out / f"exam-{number + 1:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        own = replace(writing, acquired=acquired + timedelta(minutes=15 * number))
        orders += [
            _Order(folder, seed + number, v, rows, columns, spacing_mm, lesions, malignant, own)
            for v in VIEWS
        ]
    views: dict[Path, list[dict[str, Any]]] = {}
    truths: dict[Path, PhantomExam] = {}
    for done, (order, exam, view) in enumerate(_made(orders, _workers(workers, orders)), 1):
        views.setdefault(order.folder, []).append(view)
        truths[order.folder] = exam
        if progress is not None:
            progress(done, len(orders))
    for folder, exam in truths.items():
        order_of = [f"{side} {view}" for side, view in VIEWS]
        _write_truth(folder, exam, sorted(views[folder], key=lambda v: order_of.index(v["name"])))
    return sorted(truths)


def _workers(asked: int | None, orders: Sequence[_Order]) -> int:
    """Starting a process costs about a second: not worth it for small images."""
    pixels = sum(order.rows * order.columns for order in orders)
    if asked is None and pixels < 60_000_000:  # noqa: PLR2004 -- not two full exams
        return 1
    return min(asked or len(os.sched_getaffinity(0)), len(orders))


def _made(orders: Sequence[_Order], workers: int) -> Any:  # noqa: ANN401 -- an iterator of what `_make` gives
    if workers <= 1:
        yield from map(_make, orders)
        return
    context = multiprocessing.get_context("spawn")  # safe whatever threads the caller has
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(_make, order) for order in orders]):
            yield future.result()


def _make(order: _Order) -> tuple[_Order, PhantomExam, dict[str, Any]]:
    exam = phantom_exam(
        order.seed,
        rows=order.rows,
        columns=order.columns,
        spacing_mm=order.spacing_mm,
        lesions=order.lesions,
        malignant=order.malignant,
        views=(order.view,),
    )
    _write_view(exam, exam.views[0], order.folder, order.writing)
    return order, replace(exam, views=()), view_truth(exam.views[0])


def _write_view(exam: PhantomExam, view: PhantomView, out: Path, how: _Writing) -> list[Path]:
    name = f"{view.laterality}_{view.view}"
    files = [out / f"{name}_{energy}.dcm" for energy in _PAIR]
    for energy, path in zip(_PAIR, files, strict=True):
        _image(exam, view, energy, how).save_as(path, enforce_file_format=True)
    if how.masks:
        masks = np.array(view.lesion_masks, np.bool_).reshape(-1, *view.mask.shape)
        np.savez_compressed(out / f"{name}_masks.npz", lesions=masks)
    return files


def _image(exam: PhantomExam, view: PhantomView, energy: Energy, how: _Writing) -> Dataset:
    shape = str(view.low_energy.shape)
    identity = (str(exam.seed), how.run, how.dialect, shape, repr(exam.lesions))
    number = VIEWS.index((view.laterality, view.view))
    name = f"{view.laterality} {view.view}"

    def uid(*parts: str) -> str:
        return derive_uid("phantom", *identity, *parts)

    return cem_dataset(
        view.low_energy if energy == "low_energy" else view.recombined,
        CemImage(
            energy=energy,
            laterality=view.laterality,
            view=view.view,
            dialect=how.dialect,
            patient_id=f"PHANTOM-{exam.seed}",
            patient_name="Phantom^CEM",
            study_uid=uid("study"),
            # A series has one frame of reference, so each view needs its own.
            series_uid=uid("series", name, energy),
            sop_uid=uid("image", name, energy),
            accession_number=f"PH{zlib.crc32(uid('study').encode()):08X}",
            spacing_mm=view.spacing_mm,
            acquired=how.acquired + timedelta(seconds=75 * number),
            started=how.acquired,
            source_uids=[uid("image", name, "low_energy")] if energy == "recombined" else (),
            frame_of_reference_uid=uid("compression", name),
            series_number=2 * number + _PAIR.index(energy) + 1,
        ),
    )


def view_truth(view: PhantomView) -> dict[str, Any]:
    """Where lesions lie: centroid (column, row) with pixel centres at integers, box, area."""
    return {
        "name": f"{view.laterality} {view.view}",
        "laterality": view.laterality,
        "view": view.view,
        "rows": view.mask.shape[0],
        "columns": view.mask.shape[1],
        "spacing_mm": view.spacing_mm,
        "malignant": view.malignant,
        "lesions": [_mask_truth(mask, view.spacing_mm) for mask in view.lesion_masks],
    }


def _mask_truth(mask: np.ndarray[Any, np.dtype[np.bool_]], spacing_mm: float) -> dict[str, Any]:
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return {"area_mm2": 0.0, "centroid": None, "box": None}
    return {
        "area_mm2": round(len(rows) * spacing_mm**2, 2),
        "centroid": [round(float(columns.mean()), 1), round(float(rows.mean()), 1)],
        "box": [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1],
    }


def _write_truth(out: Path, exam: PhantomExam, views: Sequence[Mapping[str, Any]]) -> None:
    truth = {
        "statement": "Synthetic. Research use, not for diagnosis.",
        "seed": exam.seed,
        "lesions": {side: [asdict(one) for one in found] for side, found in exam.lesions.items()},
        "views": list(views),
    }
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
