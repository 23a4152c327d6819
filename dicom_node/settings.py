"""The node's settings as one frozen object, out of a TOML file, the environment, secret files."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dicom_node.domain.study import CompletenessRule
from dicom_node.errors import ConfigurationError
from dicom_node.explain import explain

CONFIG_VARIABLE = "FAPS_NODE_CONFIG"  # how a parent process tells a child which file to read
SECRETS_VARIABLE = "FAPS_NODE_SECRETS"
PREFIX = "FAPS_NODE_"
DEFAULT_FILE = Path("node.toml")
# Threads that wait by spinning take the cores from the threads that decode: measured three times
# slower on two cores.
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE"}
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux

Port = Annotated[int, Field(ge=1, le=65535)]
# PS3.5 6.2: 16 characters of the default repertoire, no backslash, not only spaces.
AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[!-\[\]-~]([ -\[\]-~]*)$")]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of the settings: no unknown key, no change after start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listener(Section):
    """The DICOM port that modalities and the PACS send to."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all")
    port: Port = Field(11112, description="TCP port of the C-STORE listener")
    ae_title: AeTitle = Field("FAPS", description="Our AE title; callers must use it")
    max_pdu_bytes: int = Field(131072, ge=4096, description="Largest PDU we offer to receive")
    max_associations: int = Field(32, ge=1, description="Associations at one time")
    idle_s: Seconds = Field(60.0, description="Silence after which an association is closed")


class Completeness(Section):
    """When an exam is complete."""

    expected_views: tuple[str, ...] = Field(
        ("R CC", "L CC", "R MLO", "L MLO"), description="Views of a full exam"
    )
    settle_s: Seconds = Field(5.0, description="Silence after which a paired exam is ready")
    quiet_s: Seconds = Field(60.0, description="Silence after which any exam is judged")
    deadline_s: Seconds = Field(900.0, description="Age at which an incomplete exam is held")

    def rule(self) -> CompletenessRule:
        """As the value that the domain works with."""
        return CompletenessRule(
            expected_views=self.expected_views,
            settle_s=self.settle_s,
            quiet_s=self.quiet_s,
            deadline_s=self.deadline_s,
        )


class Storage(Section):
    """Where data rests."""

    data_dir: Path = Field(Path("data"), description="Folder of the node's own files")
    ledger_url: str = Field(
        "", description="SQLAlchemy URL; empty: SQLite in data_dir; or postgresql+psycopg://…"
    )


class Queue(Section):
    """The doorbell between node and workers."""

    url: str = Field("", description="redis://… of the queue; empty: an embedded Valkey server")
    name: str = Field("cem.infer", description="Name of the Celery queue")


class Worker(Section):
    """How exams are analysed."""

    bundle: Path | None = Field(None, description="Folder of the model bundle; empty: the shipped")
    threads: int = Field(0, ge=0, description="CPU threads of one analysis; 0: all cores")
    lease_s: Seconds = Field(60.0, description="A job whose worker is silent so long is free again")
    embedded: bool = Field(default=True, description="`dicom-node up` starts a worker of its own")


class Destination(Section):
    """A PACS that gets the results."""

    name: str = Field(min_length=1, description="Short name for this destination")
    ae_title: AeTitle = Field(description="The destination's AE title")
    host: str = Field(min_length=1, description="The destination's address")
    port: Port = Field(104, description="The destination's DICOM port")
    confirm: Literal["none", "commitment"] = Field(
        "none", description="Proof that results are kept: none, or Storage Commitment"
    )
    outputs: tuple[Literal["seg", "sr"], ...] = Field(
        ("seg", "sr"), description="Which result objects it gets"
    )


class Web(Section):
    """The status page."""

    host: str = Field(
        "127.0.0.1", description="Address of the page; put a proxy with login before it"
    )
    port: Port = Field(8080, description="TCP port of the page")


class Logs(Section):
    """What the log says."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level")


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
    completeness: Completeness = Completeness()
    storage: Storage = Storage()
    queue: Queue = Queue()
    worker: Worker = Worker()
    destinations: tuple[Destination, ...] = ()
    web: Web = Web()
    logs: Logs = Logs()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [destination.name for destination in self.destinations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two destinations have the name {twice[0]!r}; names must differ")
        if self.listener.port == self.web.port and self.listener.host == self.web.host:
            raise ValueError(
                f"listener.port and web.port are both {self.web.port}; they must differ"
            )
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
        return Path(tempfile.gettempdir()) / f"faps-node-{digest}" / "valkey.sock"


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
    file.touch(mode=0o600)
    values = settings.model_dump(mode="json", exclude_none=True)
    values["storage"]["data_dir"] = str(settings.data_dir)
    file.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return file


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
