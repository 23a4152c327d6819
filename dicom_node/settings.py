"""The node's settings as one frozen object, out of a TOML file, the environment, secret files."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dicom_node.destination_section import Destination
from dicom_node.domain.header import InputRule
from dicom_node.domain.outputs import Output
from dicom_node.errors import ConfigurationError
from dicom_node.explain import explain
from dicom_node.limits_section import Limits
from dicom_node.listener_section import Listener
from dicom_node.sections import (
    Assistance,
    Audit,
    Completeness,
    Input,
    KnownPeer,
    Logs,
    Pull,
    Queue,
    Storage,
    Tls,
    Web,
    Worker,
)

__all__ = ["Destination", "Listener", "Settings", "load_settings"]

CONFIG_VARIABLE = "FAPS_NODE_CONFIG"  # how a parent process tells a child which file to read
SECRETS_VARIABLE = "FAPS_NODE_SECRETS"
PREFIX = "FAPS_NODE_"
DEFAULT_FILE = Path("node.toml")
# Threads that wait by spinning take the cores from the threads that decode: measured three times
# slower on two cores.
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE"}
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux


class Settings(BaseSettings):
    """Everything an administrator can set; a value that exists is valid."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    listener: Listener = Listener()
    tls: Tls = Tls()
    input: Input = Input()
    limits: Limits = Limits()
    completeness: Completeness = Completeness()
    storage: Storage = Storage()
    queue: Queue = Queue()
    worker: Worker = Worker()
    assistance: Assistance = Assistance()
    destinations: tuple[Destination, ...] = ()
    peers: tuple[KnownPeer, ...] = ()
    pull: Pull = Pull()
    web: Web = Web()
    audit: Audit = Audit()
    logs: Logs = Logs()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for kind, rows in (("destinations", self.destinations), ("peers", self.peers)):
            names = [row.name for row in rows]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {kind} have the name {twice[0]!r}; names must differ")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = {"listener.port": self.listener.port} if self.listener.plain else {}
        if self.tls.listens:
            ports["tls.port"] = self.tls.port
        if not ports:
            raise ValueError(
                "listener.plain is false and there is no TLS port: nobody could send anything; "
                "set tls.certificate_file and tls.port, or listener.plain = true"
            )
        if self.listener.host == self.web.host:
            ports["web.port"] = self.web.port
        for one, other in itertools.combinations(ports, 2):
            if ports[one] == ports[other]:
                raise ValueError(f"{one} and {other} are both {ports[one]}; they must differ")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        for destination in self.destinations:
            if destination.tls and not (destination.tls_ca_file or self.tls.ca_file):
                raise ValueError(
                    f"destination {destination.name!r} has tls = true: name the authorities of "
                    "its certificate (PEM) in its tls_ca_file, or in tls.ca_file"
                )
            destination.called_by(self.tls)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Sources by rank; the file comes last because the other two exist to override it."""
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - narrows for mypy
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101 - narrows for mypy
        del dotenv_settings, file_secret_settings
        given = init_settings.init_kwargs
        if given.get("alone"):
            return (InitSettingsSource(settings_cls, given.get("overrides", {})),)
        folder = os.environ.get(SECRETS_VARIABLE)
        secrets = (
            (
                NestedSecretsSettingsSource(
                    env_settings,
                    secrets_dir=folder,
                    secrets_prefix="",
                    secrets_nested_delimiter="__",
                ),
            )
            if folder
            else ()
        )
        return (
            InitSettingsSource(settings_cls, given.get("overrides", {})),
            env_settings,
            *secrets,
            InitSettingsSource(settings_cls, given.get("file", {})),
        )

    @property
    def doors(self) -> str:
        """Where senders reach the node, for people."""
        host, found = self.listener.host, []
        if self.listener.plain:
            found.append(f"{host}:{self.listener.port}")
        if self.tls.listens:
            found.append(f"{host}:{self.tls.port} (TLS)")
        return " and ".join(found)

    @property
    def input_rule(self) -> InputRule:
        """What the receiver reads of headers."""
        return replace(
            self.input.rule(),
            limits=self.limits.bounds(),
            read_assessments=self.assistance.birads,
        )

    @property
    def addressees(self) -> tuple[Destination, ...]:
        """Everybody whom results may be sent to: a sender is one for each peer that takes some."""
        takers = [peer for peer in self.peers if peer.results_port]
        return tuple(
            addressee
            for one in self.destinations
            for addressee in ([one.at(peer) for peer in takers] if one.kind == "sender" else [one])
        )

    @property
    def label_maps(self) -> bool:
        """Whether any destination takes label maps: they are made for nobody else."""
        return any(Output.LABELMAP in destination.outputs for destination in self.destinations)

    @property
    def archive(self) -> str:
        """A PACS that may have what is missing: the one to pull from, or the first destination."""
        return self.pull.source or next((one.name for one in self.destinations), "")

    @property
    def data_dir(self) -> Path:
        """The data folder as an absolute path."""
        return self.storage.data_dir.expanduser().resolve()

    @property
    def ledger_url(self) -> str:
        """The database's URL, the embedded default filled in."""
        return self.storage.ledger_url or f"sqlite:///{self.data_dir / 'ledger.db'}"

    @property
    def embedded_queue(self) -> bool:
        """Whether the node starts a queue server of its own."""
        return not self.queue.url

    @property
    def queue_url(self) -> str:
        """The queue's URL; the embedded server listens on a socket in the data folder."""
        return self.queue.url or f"redis+socket://{self.queue_socket}"

    @property
    def queue_socket(self) -> Path:
        """The embedded queue server's socket; elsewhere where the path would be too long."""
        socket = self.data_dir / "run" / "valkey.sock"
        if len(str(socket)) <= MAX_SOCKET_PATH:
            return socket
        digest = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:16]
        return Path("/tmp") / f"faps-node-{digest}" / "valkey.sock"  # noqa: S108 - 0700, see there


def config_file() -> Path | None:
    """The file named by the environment, or ``node.toml`` here when there is one."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def child_environment(file: Path) -> dict[str, str]:
    """Environment for a child process that shall read ``file``, which already has everything."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, CONFIG_VARIABLE: str(file), **OPENMP}


def calm_openmp() -> None:
    """Same for this process; must come before the first import of torch."""
    for name, value in OPENMP.items():
        os.environ.setdefault(name, value)


def write_effective(settings: Settings, name: str = "effective.json") -> Path:
    """Write what is in force, for a child process; readable by nobody else."""
    folder = settings.data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / name
    part = folder / f"{name}.{os.getpid()}"
    part.touch(mode=0o600)
    values = settings.model_dump(mode="json", exclude_none=True)
    values["storage"]["data_dir"] = str(settings.data_dir)
    part.write_text(json.dumps(values, indent=1), encoding="utf-8")
    part.replace(file)  # several workers may start at once and read it
    return file


def default_settings(overrides: Mapping[str, Any]) -> Settings:
    """Defaults with ``overrides`` alone: no file and no environment can get in."""
    return Settings(alone=True, overrides=dict(overrides))  # type: ignore[call-arg]  # consumed by settings_customise_sources


def load_settings(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read ``file`` (none: defaults only), then the environment, then ``overrides``.

    Raises
    ------
    ConfigurationError
        With one line per mistake: where, what stands there, what would be right.

    """
    text, values = _read(file) if file is not None else ("", {})
    try:
        return Settings(file=values, overrides=dict(overrides or {}))  # type: ignore[call-arg]  # consumed by settings_customise_sources
    except ValidationError as error:
        where = str(file) if file is not None else "settings"
        lines = [explain(where, text, problem) for problem in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read ({error.strerror}); name an existing file with --config"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: not UTF-8 text; save it as UTF-8") from None
    try:
        return text, json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{file}: cannot be parsed: {error}") from None
