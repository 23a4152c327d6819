"""The model of one job's life holds in every order of events; with a rule left out it does not."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("jobs.pml")
pytestmark = [pytest.mark.slow, pytest.mark.spin, pytest.mark.timeout(900)]
MUTANTS = {
    "no_sweep": ("live", "NO_SWEEP"),  # nobody rings again: a lost message loses the exam
    "leases_are_not_retaken": ("live", "NO_RETAKE"),
    "sent_before_it_is_kept": ("once", "SEND_FIRST"),
    "neither_token_nor_write_once": ("once", "NO_TOKEN", "NOT_ONCE"),
}
# Each of these two rules alone is enough: they are two locks on one door.
STILL_SOUND = {"no_token": "NO_TOKEN", "not_write_once": "NOT_ONCE"}


def errors(folder: Path, formula: str, *left_out: str) -> int:
    """How many counterexamples SPIN finds; the search must have been exhaustive."""
    if shutil.which("spin") is None:
        pytest.skip("spin is missing; install Debian's package spin")

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout

    run("spin", *(f"-D{name}" for name in left_out), "-a", str(MODEL))
    run("cc", "-O1", "-DVECTORSZ=2048", "-DCOLLAPSE", "-o", "pan", "pan.c")
    search = ["-a", "-f"] if formula == "live" else ["-a"]  # -f: every process goes on some time
    found = run("./pan", "-m200000", *search, "-N", formula)
    assert "max search depth too small" not in found, found
    number = int(re.findall(r"errors: (\d+)", found)[0])
    assert number or "Search not completed" not in found, found
    return number


@pytest.mark.parametrize("formula", ["once", "sound", "live"])
def test_the_model_holds(formula: str, tmp_path: Path) -> None:
    assert errors(tmp_path, formula) == 0


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_model_without_one_of_the_rules_is_refuted(mutant: str, tmp_path: Path) -> None:
    formula, *left_out = MUTANTS[mutant]
    assert errors(tmp_path, formula, *left_out) > 0


@pytest.mark.parametrize("rule", STILL_SOUND)
def test_token_and_write_once_stand_in_for_each_other(rule: str, tmp_path: Path) -> None:
    assert errors(tmp_path, "once", STILL_SOUND[rule]) == 0
