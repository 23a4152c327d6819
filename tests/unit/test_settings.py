"""Settings by rank of their source, and every mistake in words."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from dicom_node.domain.header import InputRule
from dicom_node.domain.study import CompletenessRule
from dicom_node.errors import ConfigurationError
from dicom_node.listener_section import Listener
from dicom_node.sections import Completeness, Input
from dicom_node.settings import (
    Settings,
    child_environment,
    config_file,
    load_settings,
    write_effective,
)

PACS = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "10.0.0.5"\n'


def _file(folder: Path, text: str) -> Path:
    file = folder / "node.toml"
    file.write_text(text, encoding="utf-8")
    return file


def _mistake(folder: Path, text: str) -> str:
    """What is said of a file, its folder taken off."""
    with pytest.raises(ConfigurationError) as wrong:
        load_settings(_file(folder, text))
    return str(wrong.value).replace(f"{folder}/", "")


def test_nothing_need_be_set() -> None:
    settings = load_settings()
    assert settings.listener == Listener()
    assert settings.completeness.rule() == CompletenessRule()
    assert settings.destinations == ()
    assert settings.embedded_queue


def test_overrides_beat_the_environment_which_beats_secrets_which_beat_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    file = _file(
        tmp_path,
        '[listener]\nae_title = "FILE"\nport = 1\nhost = "file"\nidle_s = 1\n[web]\nport = 2\n',
    )
    for name, value in (("ae_title", "SECRET"), ("port", "3"), ("host", "secret")):
        (secrets / f"listener__{name}").write_text(f"{value}\n", encoding="utf-8")
    monkeypatch.setenv("FAPS_NODE_SECRETS", str(secrets))
    monkeypatch.setenv("FAPS_NODE_LISTENER__PORT", "4")
    monkeypatch.setenv("FAPS_NODE_LISTENER__HOST", "environment")
    settings = load_settings(file, {"listener": {"host": "override"}})
    listener = settings.listener
    assert (listener.idle_s, listener.ae_title, listener.port, listener.host) == (
        1, "SECRET", 4, "override",
    )  # fmt: skip
    assert settings.web.port == 2


def test_a_password_may_come_from_a_secret_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+psycopg://node:secret@db/ledger"
    (tmp_path / "storage__ledger_url").write_text(url, encoding="utf-8")
    monkeypatch.setenv("FAPS_NODE_SECRETS", str(tmp_path))
    assert load_settings().ledger_url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[listener]\nhost = 'x'\nport = 99999\n",
            ["node.toml:3", "listener.port", "99999", "65535"],
        ),
        ("[listener]\nport = 'many'\n", ["node.toml:2", "listener.port", "'many'", "integer"]),
        ("[listener]\nprot = 104\n", ["node.toml:2", "listener.prot", "no such setting"]),
        ("[lisener]\nport = 104\n", ["node.toml:1", "lisener", "no such setting"]),
        ("[listener]\nae_title = 'THIS_IS_TOO_LONG_X'\n", ["node.toml:2", "ae_title", "16"]),
        ("[listener]\nae_title = 'A\\B'\n", ["node.toml:2", "ae_title", "pattern"]),
        ("[listener]\nae_title = ' '\n", ["node.toml:2", "ae_title"]),
        ("[completeness]\nquiet_s = 0\n", ["node.toml:2", "quiet_s", "0", "greater than 0"]),
        (PACS + PACS, ["two destinations have the name 'pacs'"]),
        (PACS + "confirm = 'word'\n", ["node.toml:5", "confirm", "'word'", "'commitment'"]),
        (PACS + "outputs = ['pdf']\n", ["node.toml:", "outputs", "'pdf'", "'seg'"]),
        (
            "[[destinations]]\nname = 'x'\nhost = 'h'\n",
            ["node.toml:1", "ae_title", "must be given"],
        ),
        ("[web]\nport = 11112\n", ["listener.port and web.port are both 11112"]),
        ("[listener\nport = 1\n", ["node.toml", "cannot be parsed"]),
    ],
)
def test_a_mistake_names_the_place_the_value_and_what_would_be_right(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    message = _mistake(tmp_path, text)
    assert [word for word in said if word not in message] == [], message
    assert len(message.splitlines()) == 1


def test_the_second_destination_s_mistake_is_found_in_its_own_lines(tmp_path: Path) -> None:
    other = PACS.replace('"pacs"', '"other"').replace('"PACS"', '"MUCH_TOO_LONG_TITLE"')
    message = _mistake(tmp_path, PACS + other)
    assert message.startswith("node.toml:7: destinations.1.ae_title is 'MUCH_TOO_LONG_TITLE':")


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    message = _mistake(tmp_path, "[listener]\nport = 0\n[web]\nport = 0\nhots = 'x'\n")
    assert [line.split(":")[1] for line in message.splitlines()] == ["2", "4", "5"]


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml: cannot be read.*--config"):
        load_settings(tmp_path / "gone.toml")
    file = tmp_path / "node.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_settings(file)


def test_a_mistake_on_the_command_line_is_named_too() -> None:
    with pytest.raises(ConfigurationError, match=r"listener\.port is 0:"):
        load_settings(None, {"listener": {"port": 0}})


def test_nothing_changes_after_the_start() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.listener.port = 1  # type: ignore[misc]  # what the test is about
    with pytest.raises(ValidationError, match="frozen"):
        settings.web = settings.web  # type: ignore[misc]  # what the test is about


def _sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield kind


def test_every_key_is_described() -> None:
    sections = list(_sections(Settings))
    assert len(sections) == len(Settings.model_fields)
    silent = [
        f"{section.__name__}.{name}"
        for section in sections
        for name, field in section.model_fields.items()
        if not field.description
    ]
    assert silent == []
    assert all(section.__doc__ for section in sections)


def test_the_defaults_of_the_settings_are_the_defaults_of_the_domain() -> None:
    assert Completeness().rule() == CompletenessRule()
    assert Input().rule() == InputRule()


def test_a_sites_expression_is_checked_and_does_not_mind_case(tmp_path: Path) -> None:
    message = _mistake(tmp_path, "[input]\nrecombined_description = '('\n")
    assert message.startswith("node.toml:2: input.recombined_description is '(': no regular")
    rule = load_settings(None, {"input": {"recombined_description": "recomb"}}).input.rule()
    assert rule.recombined_description is not None
    assert rule.recombined_description.search("R CC RECOMBINED")


def test_a_child_process_reads_exactly_what_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAPS_NODE_LISTENER__PORT", "4")
    given: dict[str, Any] = {"storage": {"data_dir": str(tmp_path)}, "worker": {"threads": 2}}
    settings = load_settings(_file(tmp_path, PACS), given)
    written = write_effective(settings)
    assert written.stat().st_mode & 0o077 == 0
    environment = child_environment(written)
    assert [name for name in environment if name.startswith("FAPS_NODE_")] == ["FAPS_NODE_CONFIG"]
    monkeypatch.delenv("FAPS_NODE_LISTENER__PORT")
    monkeypatch.setenv("FAPS_NODE_CONFIG", environment["FAPS_NODE_CONFIG"])
    assert load_settings(config_file()) == settings
    assert json.loads(written.read_text(encoding="utf-8"))["listener"]["port"] == 4


def test_node_toml_here_is_found_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_file() is None
    _file(tmp_path, "")
    assert config_file() == Path("node.toml")
    monkeypatch.setenv("FAPS_NODE_CONFIG", "other.toml")
    assert config_file() == Path("other.toml")


def test_everything_rests_in_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = load_settings(None, {"storage": {"data_dir": str(tmp_path)}})
    assert settings.ledger_url == f"sqlite:///{tmp_path.resolve()}/ledger.db"
    assert str(settings.queue_socket).endswith("valkey.sock")


def test_a_deep_data_folder_still_has_a_socket_that_can_be_opened(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    settings = load_settings(None, {"storage": {"data_dir": str(deep)}})
    assert len(str(settings.queue_socket)) <= 107  # unix(7): sun_path, less its final zero
    other = load_settings(None, {"storage": {"data_dir": str(deep / "x")}})
    assert settings.queue_socket != other.queue_socket


def test_a_queue_of_one_s_own_is_not_embedded() -> None:
    settings = load_settings(None, {"queue": {"url": "redis://queue:6379/0"}})
    assert not settings.embedded_queue
    assert settings.queue_url == "redis://queue:6379/0"


def test_what_toml_can_say_is_read_as_toml_says_it(tmp_path: Path) -> None:
    text = "[completeness]\nexpected_views = ['R CC', 'L CC']\n"
    settings = load_settings(_file(tmp_path, text))
    assert (
        list(settings.completeness.expected_views)
        == tomllib.loads(text)["completeness"]["expected_views"]
    )
