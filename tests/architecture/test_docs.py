"""What the documentation and the deployment files say is true."""

from __future__ import annotations

import ast
import configparser
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import to_jsonable_python
from pydicom.uid import UID
from typer.main import get_command

from dicom_node.__main__ import app as dicom_node_app
from dicom_node.domain import delivery, dimse, job, procedure, promise, pull
from dicom_node.sections import KnownPeer
from dicom_node.settings import Destination, Worker, load_settings
from worker.__main__ import app as faps_app
from worker.tasks import analyse_job

PACKAGES = ("dicom_node", "worker")
UNITS = ("faps-node.service", "faps-worker@.service", "faps-node-all-in-one.service")
COMMANDS = {
    name: set(getattr(get_command(app), "commands"))  # noqa: B009 - click's group, typed as a command
    for name, app in (("dicom-node", dicom_node_app), ("faps", faps_app))
}


def documents(repository: Path) -> list[Path]:
    own = [repository / "README.md", repository / "CHANGELOG.md"]
    rest = [path for room in ("docs", "deploy") for path in (repository / room).rglob("*.md")]
    return [path for path in (*own, *sorted(rest)) if path.is_file()]


# deploy/node.toml


def with_every_key(text: str) -> str:
    """The settings file with each commented-out key and table switched on; prose has a blank."""
    return re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)


@pytest.fixture
def example(repository: Path) -> str:
    return (repository / "deploy" / "node.toml").read_text()


def test_the_example_settings_are_the_defaults(repository: Path) -> None:
    assert load_settings(repository / "deploy" / "node.toml") == load_settings(None)


def test_every_setting_stands_in_the_example_with_its_default(example: str) -> None:
    shown = tomllib.loads(with_every_key(example))
    lists = {"destinations", "peers"}
    assert lists <= set(shown)
    defaults = load_settings(None).model_dump(mode="json", exclude=lists)
    shown = {name: keys for name, keys in shown.items() if name not in lists}
    assert {name: set(keys) for name, keys in shown.items()} == {
        name: set(keys) for name, keys in defaults.items()
    }
    for section, keys in defaults.items():
        for key, default in keys.items():
            # TOML has no null: a key without a default shows an example.
            if default is not None:
                assert shown[section][key] == default, f"{section}.{key}"


def test_every_key_of_a_destination_is_shown_and_two_examples_load(
    example: str, tmp_path: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(with_every_key(example))
    assert len(load_settings(file).destinations) == 2
    for section, model in (("destinations", Destination), ("peers", KnownPeer)):
        first, *_ = tomllib.loads(file.read_text())[section]
        assert set(first) == set(model.model_fields)
        for name, field in model.model_fields.items():
            # What only some kinds of destination need has no value that could be shown as one.
            if not field.is_required() and name not in {"ae_title", "host"}:
                assert first[name] == to_jsonable_python(field.default), name


def test_every_key_of_the_example_is_explained(example: str) -> None:
    lines = example.splitlines()
    for before, line in itertools.pairwise(lines):
        # Keys that one comment explains together follow each other without a blank line.
        if re.match(r"#[a-z]", line):
            assert re.match(r"# |#[a-z]", before), line


# docs/states.md, docs/architecture.md, docs/conformance.md, docs/adr


def picture(table: Mapping[Any, Mapping[Any, Any]], first: Enum) -> str:
    """A transition table as mermaid text, in the order of the table."""
    arrows = [
        f"    {state.value} --> {target.value}: {event.value}"
        for state, events in table.items()
        for event, target in events.items()
    ]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {first.value}", *arrows])


def test_the_pictures_of_states_are_the_tables_in_the_code(repository: Path) -> None:
    text = (repository / "docs" / "states.md").read_text()
    shown = re.findall(r"```mermaid\n(.*?)\n```", text, flags=re.DOTALL)
    assert shown == [
        picture(job.TRANSITIONS, job.JobState.QUEUED),
        picture(delivery.TRANSITIONS, delivery.DeliveryState.WAITING),
        picture(promise.TRANSITIONS, promise.PromiseState.ASKED),
        picture(procedure.TRANSITIONS, procedure.ProcedureState.IN_PROGRESS),
        picture(pull.TRANSITIONS, pull.PullState.ORDERED),
    ]


@pytest.mark.parametrize(
    "states",
    [
        job.JobState,
        delivery.DeliveryState,
        promise.PromiseState,
        procedure.ProcedureState,
        pull.PullState,
    ],
)
def test_every_state_is_explained_to_the_administrator(
    repository: Path, states: type[Enum]
) -> None:
    text = (repository / "docs" / "states.md").read_text()
    missing = [state.value for state in states if f"\n| {state.value} | " not in text]
    assert missing == []


def test_the_module_map_names_every_module_and_no_other(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", text, flags=re.MULTILINE)
    modules = {
        str(path.relative_to(repository))
        for package in PACKAGES
        for path in (repository / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {path for path, _ in rows} == modules
    assert len(rows) == len(modules)
    assert all(len(sentence) > len("The x.") for _, sentence in rows)


def defined(repository: Path, dotted: str) -> bool:
    """Whether ``package.module.Class.method`` is in the source, found without importing it."""
    parts = dotted.split(".")
    if repository.joinpath(*parts).is_dir():
        return True
    files = [repository.joinpath(*parts[:n]).with_suffix(".py") for n in range(len(parts), 0, -1)]
    depth, file = next(
        ((len(parts) - n, f) for n, f in enumerate(files) if f.is_file()), (0, Path())
    )
    nodes: list[ast.stmt] = ast.parse(file.read_text()).body if depth else []
    for name in parts[depth:]:
        found = [node for node in nodes if getattr(node, "name", None) == name]
        nodes = getattr(found[0], "body", []) if found else []
    return bool(nodes)


def test_every_name_in_the_documentation_is_in_the_code(repository: Path) -> None:
    names = {
        name
        for path in documents(repository)
        for name in re.findall(r"`((?:dicom_node|worker)\.[\w.]+)`", path.read_text())
        if name.removeprefix("worker.") not in Worker.model_fields  # a setting, `worker.bundle`
    }
    assert len(names) > 20
    assert [name for name in sorted(names) if not defined(repository, name)] == []


@pytest.mark.parametrize("table", ["INPUT_CLASSES", "IGNORED_CLASSES", "LOSSLESS_SYNTAXES"])
def test_the_conformance_statement_lists_what_the_listener_takes(
    repository: Path, table: str
) -> None:
    number = ["INPUT_CLASSES", "IGNORED_CLASSES", "LOSSLESS_SYNTAXES"].index(table) + 1
    text = (repository / "docs" / "conformance.md").read_text()
    part = text.split(f"\nTable {number}, ")[1].split("\n\n")[1]
    shown = re.findall(r"^\| (.+) \| ([\d.]+) \|$", part, flags=re.MULTILINE)
    taken: tuple[UID, ...] = getattr(dimse, table)
    assert shown == [(dimse.class_name(uid), str(uid)) for uid in taken]


def test_every_decision_is_a_file_of_ten_lines_whose_title_is_the_decision(
    repository: Path,
) -> None:
    files = sorted((repository / "docs" / "adr").glob("*.md"))
    assert [path.name[:4] for path in files] == [f"{n:04}" for n in range(1, len(files) + 1)]
    for path in files:
        lines = path.read_text().splitlines()
        assert len(lines) == 10, path
        assert lines[0].startswith(f"# {path.name[:4]} "), path
        assert re.fullmatch(r"Status: (proposed|accepted|superseded by \d{4})", lines[2]), path
        assert re.fullmatch(r"Date: \d{4}-\d\d-\d\d", lines[3]), path
        starts = [line.split(":")[0] for line in lines[5::2]]
        assert starts == ["Context", "Decision", "Consequences"], path


# README and all documents


def test_the_readme_begins_with_run_then_test_and_says_what_it_is_for(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    assert re.findall(r"\bmake ([a-z-]+)", text)[:2] == ["run", "test"]
    assert "Research use, not for diagnosis" in text


def commands_in(text: str) -> Iterator[tuple[str, str]]:
    """Program and command wherever a code span or block names one of ours."""
    code = re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, flags=re.DOTALL)
    for block in (one or other for one, other in code):
        yield from re.findall(r"(?:^|/)(dicom-node|faps)[ \t]+([a-z][a-z-]*)", block, re.MULTILINE)


def test_every_command_in_the_documentation_exists(repository: Path) -> None:
    named = {command for path in documents(repository) for command in commands_in(path.read_text())}
    assert ("dicom-node", "rerun") in named
    assert {(program, name) for program, name in named if name not in COMMANDS[program]} == set()


def test_every_link_between_documents_leads_somewhere(repository: Path) -> None:
    for path in documents(repository):
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", path.read_text()
        ):
            file = (path.parent / target).resolve() if target else path
            assert file.exists(), f"{path.name}: {target}"
            if anchor:
                heads = re.findall(r"^#+ (.+)$", file.read_text(), flags=re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
                assert anchor in slugs, f"{path.name}: {target}#{anchor}"


# The queue's message, images, services


def test_the_worker_answers_to_the_name_that_the_node_rings() -> None:
    assert analyse_job.name == job.ANALYSE_TASK


@pytest.mark.parametrize(
    ("image", "extras"), [("node", ".[postgres]"), ("worker", ".[worker,postgres]")]
)
def test_an_image_installs_its_half_of_the_product(
    repository: Path, image: str, extras: str
) -> None:
    folder = repository / "deploy" / "compose"
    text = (folder / f"Dockerfile.{image}").read_text()
    kept = (folder / f"Dockerfile.{image}.dockerignore").read_text().splitlines()
    instructions = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    assert re.findall(r"'(\.\[[^']+\])'", instructions) == [extras]
    # The worker's image has pynetdicom too: it comes with the one distribution, and stays unused.
    assert ("torch" in instructions) == (image == "worker")
    assert ("!worker" in kept) == (image == "worker")
    assert re.findall(r"^USER (.+)$", instructions, flags=re.MULTILINE) == ["10001:10001"]
    for source in re.findall(r"^COPY (?:--chmod=\d+ )?(\S+) ", instructions, flags=re.MULTILINE):
        assert source.startswith("--from") or (repository / source).exists(), source


def test_the_composition_opens_no_database_and_runs_nobody_as_root(repository: Path) -> None:
    composition = yaml.safe_load((repository / "deploy" / "compose" / "compose.yaml").read_text())
    services = composition["services"]
    assert {name for name, service in services.items() if "ports" in service} == {"node"}
    assert composition["networks"]["inside"]["internal"] is True
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert not str(service["user"]).startswith(("0", "root")), name
        assert "healthcheck" in service or service["restart"] == "no", name
    queue = " ".join(services["queue"]["command"])
    assert "--appendonly yes" in queue
    assert "--maxmemory-policy noeviction" in queue


@pytest.mark.parametrize("name", UNITS)
def test_a_service_runs_a_command_that_exists_and_is_confined(repository: Path, name: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read(repository / "deploy" / "systemd" / name)
    service = unit["Service"]
    program, command = shlex.split(service["ExecStart"])[:2]
    assert command in COMMANDS[Path(program).name]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == "yes"
    assert service["SystemCallFilter"] == "@system-service"
    assert service["StateDirectory"] == "faps-node"
    assert service["KillSignal"] == "SIGTERM"
    # The kernel's boot id tells a dead owner of a lease from a living one.
    assert "ProcSubset" not in service
