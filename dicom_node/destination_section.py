"""The settings of one destination: who it is, what it gets, when, and what proves arrival."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from dicom_node.domain.delivery import BACKOFF_FIRST_S, BACKOFF_MAX_S, Patience
from dicom_node.domain.outputs import (
    DEFAULT_OUTPUTS,
    Output,
    SrClass,
    SrPer,
    fallbacks_of,
    roles_of,
)
from dicom_node.sections import AeTitle, KnownPeer, Port, Profile, Seconds, Section, Tls

# As ``AeTitle``, or nothing where the destination has none.
AeTitleOrNone = Annotated[str, Field(max_length=16, pattern=r"^([!-\[\]-~][ -\[\]-~]*)?$")]
Hours = Annotated[float, Field(gt=0)]


class Destination(Section):
    """Somebody who gets the results: a PACS, an archive on the web, or whoever sent the exam."""

    name: str = Field(min_length=1, description="Short name for this destination")
    kind: Literal["dicom", "dicomweb", "sender"] = Field(
        "dicom", description="C-STORE to one AE, STOW-RS to a URL, or C-STORE back to the sender"
    )
    ae_title: AeTitleOrNone = Field("", description="The destination's AE title")
    host: str = Field("", description="The destination's address")
    port: Port = Field(104, description="The destination's DICOM port")
    tls: bool = Field(default=False, description="Whether we speak TLS to it")
    tls_ca_file: str = Field(
        "", description="Authorities (PEM) of its certificate; empty: those of tls.ca_file"
    )
    tls_check_host: bool = Field(
        default=True, description="Whether its certificate must name the host that we call"
    )
    url: str = Field("", description="Root of the DICOMweb services, for kind dicomweb")
    url_headers_file: str = Field(
        "", description="File of HTTP headers, one a line, such as Authorization: Bearer …"
    )
    url_ca_file: str = Field("", description="PEM file of who signed the server's certificate")
    profiles: tuple[Profile, ...] = Field(
        ("clinical",), min_length=1, description="Exams that came to which of our titles it gets"
    )
    senders: tuple[AeTitle, ...] = Field(
        (), description="Only exams that came from these AE titles; empty: from anybody"
    )
    images_first: bool = Field(
        default=False, description="Send once the images of the exam are there"
    )
    images_wait_s: Seconds = Field(
        1800.0, description="Seconds after which results go without waiting for images"
    )
    deliver_by_hours: Hours = Field(72.0, description="Hours after which trying to deliver ends")
    retry_s: Seconds = Field(
        BACKOFF_FIRST_S, le=BACKOFF_MAX_S, description="Pause before the second try; then doubled"
    )
    keep_open_s: float = Field(
        5.0, ge=0, description="Seconds that an idle association is kept for the next results"
    )
    confirm: Literal["none", "commitment", "query", "both"] = Field(
        "none",
        description="Proof that results are kept: none, Storage Commitment, a query, or both",
    )
    confirm_by_hours: Hours = Field(72.0, description="Hours after which asking for proof ends")
    withdraw: Literal["none", "rejection_note"] = Field(
        "none", description="What goes out on older results when newer ones have been accepted"
    )
    outputs: tuple[Output, ...] = Field(DEFAULT_OUTPUTS, description="Which result objects it gets")
    sr_class: SrClass = Field(
        SrClass.COMPREHENSIVE_3D, description="SOP class of the report, comprehensive for old PACS"
    )
    sr_per: SrPer = Field(
        SrPer.EXAM, description="One report for the exam, or one for each image (OHIF)"
    )
    recheck: Literal["off", "hold", "restamp"] = Field(
        "off", description="What to do when the destination knows the study by other patient data"
    )

    # The settings put it here, so that a destination is all that a call needs.
    _ours: Tls = PrivateAttr(default_factory=Tls)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "dicom" and not (self.ae_title and self.host):
            raise ValueError("ae_title and host must be given: both are needed to call it")
        if self.kind == "sender" and (self.ae_title or self.host):
            raise ValueError(
                "kind sender has no ae_title and host: results go back to each of [[peers]] "
                "that has a results_port"
            )
        if self.kind != "dicomweb":
            return self
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("kind dicomweb needs url, beginning with https:// or http://")
        if self.needs_commitment:
            raise ValueError('kind dicomweb knows no Storage Commitment; use confirm = "query"')
        for key in ("url_headers_file", "url_ca_file"):
            if getattr(self, key) and not Path(getattr(self, key)).is_file():
                raise ValueError(f"{key} {getattr(self, key)!r} is no file")
        return self

    @property
    def ours(self) -> Tls:
        """Who we are to it in TLS."""
        return self._ours

    def called_by(self, ours: Tls) -> None:
        """Show it this certificate."""
        self._ours = ours

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the artefacts that it gets."""
        return roles_of(self.outputs, self.sr_class, self.sr_per)

    @property
    def patience(self) -> Patience:
        """How long it is tried."""
        return Patience(self.retry_s, self.deliver_by_hours * 3600.0)

    @property
    def needs_commitment(self) -> bool:
        """Whether it is asked to take responsibility."""
        return self.confirm in {"commitment", "both"}

    @property
    def needs_sight(self) -> bool:
        """Whether results are looked for in the study there."""
        return self.confirm in {"query", "both"}

    def instead_of(self, role: str) -> tuple[str, ...]:
        """Roles of the artefacts that it gets where it does not take this one."""
        return fallbacks_of(role, self.sr_class, self.sr_per)

    def at(self, peer: KnownPeer) -> Destination:
        """The way back to one peer, for a destination of kind ``sender``."""
        return self.model_copy(
            update={
                "name": f"{self.name} {peer.name}",
                "kind": "dicom",
                "ae_title": peer.ae_title,
                "host": peer.address,
                "port": peer.results_port,
                "senders": (peer.ae_title,),
            }
        )
