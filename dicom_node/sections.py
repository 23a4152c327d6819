"""The parts of the settings, each key with its default and what it means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dicom_node.domain.certificate import checked_demand
from dicom_node.domain.header import InputRule
from dicom_node.domain.peer import ALL, Peer, Service, checked_address
from dicom_node.domain.study import CompletenessRule

Port = Annotated[int, Field(ge=1, le=65535)]
# PS3.5 6.2: 16 characters of the default repertoire, no backslash, not only spaces.
AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[!-\[\]-~]([ -\[\]-~]*)$")]
Seconds = Annotated[float, Field(gt=0)]
Profile = Literal["clinical", "test", "replay"]  # what an AE title of ours is for


def _one_of(url: str, beginnings: tuple[str, ...]) -> str:
    """``url`` unless it begins as nothing that we can speak to."""
    if url and not url.startswith(beginnings):
        raise ValueError(f"must be empty or begin with {' or '.join(beginnings)}")
    return url


class Section(BaseModel):
    """A part of the settings: no unknown key, no change after start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Section):
    """Who we are in TLS, whom we believe, and the port that takes nothing else."""

    certificate_file: str = Field(
        "", description="Our certificate and its chain (PEM); empty: no TLS"
    )
    key_file: str = Field("", description="Its private key (PEM); empty: in the certificate's file")
    key_passphrase: str = Field("", repr=False, description="What the key is encrypted with")
    ca_file: str = Field(
        "", description="Authorities (PEM) of those who call us, and of those whom we call"
    )
    clients: Literal["required", "optional"] = Field(
        "required", description="Whether those who call must show a certificate"
    )
    port: int = Field(2762, ge=0, le=65535, description="TCP port of the TLS listener; 0: none")

    @model_validator(mode="after")
    def _has_authorities(self) -> Self:
        if self.listens and self.clients == "required" and not self.ca_file:
            raise ValueError(
                "tls.ca_file must name the authorities of the senders' certificates (PEM), because "
                'tls.clients is "required"'
            )
        return self

    @property
    def listens(self) -> bool:
        """Whether there is a port for it."""
        return bool(self.certificate_file and self.port)


class KnownPeer(Section):
    """Somebody who may come in."""

    name: str = Field(min_length=1, max_length=80, description="Short name for this peer")
    ae_title: AeTitle = Field(description="AE title that it calls with")
    address: str = Field("", description="IP address, network or host name; empty: any")
    called_ae: tuple[AeTitle, ...] = Field((), description="Which titles of ours; empty: any")
    certificate: str = Field(
        "", description="SHA-256 fingerprint or subject alternative name that it must show"
    )
    results_port: int = Field(
        0, ge=0, le=65535, description="Where it takes results of its own exams; 0: nowhere"
    )
    services: tuple[Service, ...] = Field(ALL, min_length=1, description="What it may do here")
    note: str = Field("", description="For people")
    port: int = Field(0, ge=0, le=65535, description="Port to call it back at; 0: it cannot be")

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        return checked_address(text)

    @field_validator("certificate")
    @classmethod
    def _is_a_demand(cls, text: str) -> str:
        return checked_demand(text)

    @model_validator(mode="after")
    def _can_be_called(self) -> Self:
        if self.results_port and (not self.address or "/" in self.address):
            raise ValueError("results_port needs one IP address or host name as address")
        return self

    def known(self, source: str = "node.toml") -> Peer:
        """As the value that the domain works with."""
        fields = {key: value for key, value in self if key != "results_port"}
        return Peer(**fields, source=source)


class Input(Section):
    """Which images may be analysed."""

    analyse_lossy: bool = Field(
        default=True, description="Analyse images compressed with loss, and say so in the report"
    )
    recombined_description: str = Field(
        "",
        description="Regular expression that tells recombined images by description",
    )

    @field_validator("recombined_description")
    @classmethod
    def _is_a_pattern(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return text

    def rule(self) -> InputRule:
        """As the value that the domain works with."""
        pattern = re.compile(self.recombined_description, re.IGNORECASE)
        return InputRule(self.analyse_lossy, pattern if self.recombined_description else None)


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

    free_min_gb: float = Field(
        5.0, ge=0, description="GiB that stay free on the disk; below it nothing is received"
    )
    free_min_percent: float = Field(
        0.0, ge=0, le=90, description="The same as a part of the disk; the larger one counts"
    )
    keep_days: float = Field(
        0.0, ge=0, description="Days after which images of delivered exams go; 0: never"
    )

    direct_io: bool = Field(
        default=True, description="Whether large images go to the disk past the page cache"
    )
    verify_percent: float = Field(
        1.0, ge=0, le=100, description="Part of the files that is read and compared each day"
    )

    @field_validator("ledger_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        return _one_of(url, ("sqlite:///", "postgresql+psycopg://"))


class Queue(Section):
    """The doorbell between node and workers."""

    url: str = Field("", description="redis://… of the queue; empty: an embedded Valkey server")
    name: str = Field("cem.infer", description="Name of the Celery queue")

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        return _one_of(url, ("redis://", "rediss://", "redis+socket://"))


class Worker(Section):
    """How exams are analysed."""

    bundle: Path | None = Field(None, description="Folder of the model bundle; empty: the shipped")

    @field_validator("bundle", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    trusted_keys: tuple[Path, ...] = Field(
        (), description="Public keys (PEM) of those whose bundles are taken, beside the shipped one"
    )
    allow_unsigned: bool = Field(
        default=False, description="Take a bundle that nobody signed; every result then says so"
    )
    engine: Literal["torch", "compile", "onnx", "fastest"] = Field(
        "torch", description="What computes the networks; fastest: measured at every start"
    )
    threads: int = Field(0, ge=0, description="CPU threads of one analysis; 0: all cores")
    lease_s: Seconds = Field(60.0, description="A job whose worker is silent so long is free again")
    watchdog_s: Seconds = Field(
        120.0, description="An idle worker ends itself, to be started anew, when exams wait so long"
    )
    embedded: bool = Field(default=True, description="`dicom-node up` starts a worker of its own")


class Assistance(Section):
    """What is suggested beside the findings."""

    birads: bool = Field(
        default=False, description="Say what the result suggests for a radiologist's BI-RADS 4"
    )


class Pull(Section):
    """Images that are missing, fetched from a PACS."""

    source: str = Field("", description="Where: a destination's name, or AE@host:port")
    automatic: bool = Field(default=False, description="Fetch what an open exam lacks, unasked")
    after_s: Seconds = Field(20.0, description="Silence after which an exam lacks what it lacks")
    pause_s: Seconds = Field(1.0, description="Pause between two images that are fetched")
    most_images: int = Field(100, ge=1, description="Images of one study that are fetched at most")

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.automatic and not self.source:
            raise ValueError("pull.automatic needs pull.source: a destination's name, AE@host:port")
        return self


class Web(Section):
    """The status page."""

    host: str = Field(
        "127.0.0.1", description="Address of the page; put a proxy with login before it"
    )
    port: Port = Field(8080, description="TCP port of the page")


class Audit(Section):
    """The audit trail, and who is told of it."""

    host: str = Field("", description="Syslog receiver of audit messages; empty: nobody is told")
    port: Port = Field(6514, description="Its port")
    transport: Literal["tls", "tcp", "udp"] = Field("tls", description="How it is reached")
    ca: Path | None = Field(None, description="Who signs its certificate (PEM); empty: system")
    certificate: Path | None = Field(None, description="Our certificate (PEM), if it wants one")
    key: Path | None = Field(None, description="The key of our certificate (PEM)")
    source_id: str = Field("", description="How we call ourselves there; empty: the host's name")
    keep_years: float = Field(6.0, ge=0, description="Years after which events go; 0: never")

    @field_validator("ca", "certificate", "key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class Logs(Section):
    """What the log says."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level")
