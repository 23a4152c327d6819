"""A mistake in the settings in words: the place, the value, what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def explain(where: str, text: str, problem: Mapping[str, Any]) -> str:
    """One of pydantic's findings as a line that an administrator can act on."""
    path = [part for part in problem["loc"] if part not in {"file", "overrides"}]
    key = ".".join(str(part) for part in path) or "settings"
    line = line_of(text, path)
    place = f"{where}:{line}" if line else where
    if problem["type"] == "extra_forbidden":
        return f"{place}: {key}: there is no such setting; see deploy/node.toml for all keys"
    if problem["type"] == "missing":
        return f"{place}: {key}: must be given"
    value = "" if isinstance(problem["input"], dict) else f" is {problem['input']!r}:"
    return f"{place}: {key}{value} {problem['msg'].removeprefix('Value error, ')}"


def line_of(text: str, path: list[str | int]) -> int | None:
    """The line of a key in the TOML text, as far as a look at headers and keys can tell."""
    if not path:
        return None
    section, key = str(path[0]), str(path[-1])
    wanted = next((part for part in path if isinstance(part, int)), 0)
    header, seen, inside, fallback = "", -1, False, None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            header = stripped.strip("[] ")
            seen += header == section
            inside = header == section and (seen == wanted or not stripped.startswith("[["))
            fallback = number if inside else fallback
        elif inside and stripped.split("=", 1)[0].strip() == key:
            return number
    return fallback
