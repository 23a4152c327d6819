"""The architecture's contracts hold."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOST_LINES = 300
PACKAGES = ("dicom_node", "worker")


def modules(repository: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (repository / package).rglob("*.py"))


def test_every_import_contract_is_kept(repository: Path) -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None
    result = subprocess.run(
        [program, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_no_module_is_longer_than_a_room_should_be(repository: Path) -> None:
    long = {
        str(path.relative_to(repository)): lines
        for path in (*modules(repository), *sorted((repository / "tests").rglob("*.py")))
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_every_module_says_in_one_sentence_what_it_is(repository: Path) -> None:
    for path in modules(repository):
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        assert docstring, path
        first = docstring.split("\n\n")[0]
        assert first.count(".") <= first.count("..") * 2 + 1 or ". " not in first, (path, first)


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("dicom_node.node", ("torch", "highdicom", "worker")),
        ("worker.app", ("torch", "pynetdicom")),
        ("worker.analyse", ("pynetdicom", "celery")),
    ],
)
def test_importing_loads_nothing_that_the_process_must_not_have(
    module: str, forbidden: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print([n for n in {forbidden!r} if n in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
