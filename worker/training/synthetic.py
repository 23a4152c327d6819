"""Samples from phantoms, made once and kept in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from worker.contracts import Frame
from worker.exam.pixels import prepare_arrays
from worker.training.phantom import PhantomView, phantom_exam
from worker.training.public import mask_on_grid
from worker.training.sample import Sample

# A quarter of the detector's resolution: still finer than the network's grid.
ROWS, COLUMNS, SPACING_MM = 832, 640, 0.28
BOTH_EMPTY_EVERY = 5  # every fifth woman has no lesion at all


def phantoms(seeds: range, cache: Path | None = None) -> Iterator[Sample]:
    """Four views for each seed; ``cache`` keeps what was made, for the next run."""
    for seed in seeds:
        for side in ("R", "L"):
            for view in ("CC", "MLO"):
                none = {"R": 0, "L": 0} if seed % BOTH_EMPTY_EVERY == 0 else None
                yield _cached(seed, side, view, none, cache)


def lesions(seeds: range, cache: Path | None = None) -> Iterator[Sample]:
    """CC and MLO of a right breast that has one lesion, for each seed."""
    for seed in seeds:
        for view in ("CC", "MLO"):
            yield _cached(seed, "R", view, {"R": 1, "L": 0}, cache)


def _cached(
    seed: int, side: str, view: str, counts: Mapping[str, int] | None, cache: Path | None
) -> Sample:
    """One view from the cache, or made and then kept there."""
    name = f"phantom-{seed}_{side}_{view}"
    if cache is None:
        return make(seed, side, view, counts)
    path = cache / f"{name}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        sample = make(seed, side, view, counts)
        malignant = -1 if sample.malignant is None else int(sample.malignant)
        part = path.with_suffix(".part.npz")  # a broken-off run leaves no half file under the name
        np.savez(
            part,
            image=sample.image,
            lesion=np.zeros(0) if sample.lesion is None else sample.lesion,
            malignant=malignant,
            frame=np.array([*sample.frame.source_shape, *list(asdict(sample.frame).values())[2:]]),
        )
        part.rename(path)
        return sample
    with np.load(path) as kept:
        image, lesion, malignant = kept["image"], kept["lesion"], int(kept["malignant"])
        numbers = kept["frame"].tolist()
    frame = Frame(
        (int(numbers[0]), int(numbers[1])),
        (image.shape[1], image.shape[2]),
        top=int(numbers[2]),
        left=int(numbers[3]),
        bottom=int(numbers[4]),
        right=int(numbers[5]),
        scale=numbers[6],
        pad_x=numbers[7],
        pad_y=numbers[8],
        flipped=bool(numbers[9]),
    )
    return _wrap(seed, name, image, lesion, None if malignant < 0 else bool(malignant), frame)


def make(seed: int, side: str, view: str, counts: Mapping[str, int] | None) -> Sample:
    """One view of one phantom on the network grid; ``counts`` as for ``phantom_exam``."""
    exam = phantom_exam(
        seed,
        rows=ROWS,
        columns=COLUMNS,
        spacing_mm=SPACING_MM,
        lesions=counts,
        views=((side, view),),
    )
    return from_view(seed, exam.views[0])


def from_view(seed: int, view: PhantomView) -> Sample:
    """A phantom's view as a training sample."""
    prepared = prepare_arrays(
        view.low_energy.astype(np.float32),
        view.recombined.astype(np.float32),
        flipped=view.laterality == "R",
    )
    lesion = mask_on_grid(view.mask, prepared.frame)
    image = prepared.image.astype(np.float16)
    name = f"phantom-{seed}_{view.laterality}_{view.view}"
    return _wrap(seed, name, image, lesion, view.malignant, prepared.frame)


def _wrap(
    seed: int,
    name: str,
    image: np.ndarray[tuple[int, ...], np.dtype[np.float16]],
    lesion: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    malignant: bool | None,  # noqa: FBT001 - a label, not a switch
    frame: Frame,
) -> Sample:
    return Sample(
        group=f"phantom-{seed}",
        name=name,
        domain="phantom",
        image=image,
        lesion=lesion,
        malignant=malignant,
        has_low_energy=True,
        frame=frame,
    )
