"""Which patients a network learns from, and which it is asked about."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

Patients = Callable[[str], bool]
HELD_OUT = "held-out"
TENTHS, UNSEEN_TENTHS = 10, (0, 1)


@dataclass(frozen=True)
class Part:
    """One network of a training: the patients it learns from, and the others, who test it."""

    name: str
    trains: Patients
    fold: int | None = None

    def tests(self, patient: str) -> bool:
        """Whether the network has not seen this patient."""
        return not self.trains(patient)


def parts(folds: int) -> list[Part]:
    """The networks to train; those that test are measured on patients they have not seen.

    With ``folds`` there is one for each, and all of them are kept to answer together. With 0 there
    is one with two tenths of the patients held out, which measures, and one that sees everybody,
    which is kept.
    """
    if folds:
        return [_fold(number, folds) for number in range(folds)]
    held_out = Part(HELD_OUT, lambda patient: fold_of(patient, TENTHS) not in UNSEEN_TENTHS)
    return [held_out, Part("all", lambda _patient: True)]


def _fold(number: int, folds: int) -> Part:
    return Part(f"fold-{number}", lambda patient: fold_of(patient, folds) != number, number)


def fold_of(patient: str, folds: int) -> int:
    """The fold in which a patient is tested, always the same.

    >>> fold_of("P3", 5) == fold_of("P3", 5), 0 <= fold_of("P105", 5) < 5
    (True, True)
    """
    return zlib.crc32(patient.encode()) % folds
