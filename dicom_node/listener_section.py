"""The settings of the DICOM port, with every limit that it keeps."""

from __future__ import annotations

from pydantic import Field

from dicom_node.sections import AeTitle, Port, Profile, Seconds, Section


class Listener(Section):
    """The DICOM port that modalities and the PACS send to."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all")
    port: Port = Field(11112, description="TCP port of the C-STORE listener")
    plain: bool = Field(default=True, description="Whether that port, without TLS, is open")
    processes: int = Field(
        -1, ge=-1, description="Processes that receive; 0: the node's own; -1: by cores, at most 2"
    )
    ae_title: AeTitle = Field("FAPS", description="Our AE title; callers must use it")
    ae_titles: dict[AeTitle, Profile] = Field(
        default_factory=dict, description="Further AE titles of ours, each with what it is for"
    )
    max_pdu_bytes: int = Field(131072, ge=4096, description="Largest PDU we offer to receive")
    pdu_limit_bytes: int = Field(
        1 << 20, ge=16384, description="Largest PDU that is taken from senders who ignore the offer"
    )
    pdu_s: Seconds = Field(15.0, description="Seconds in which a PDU that has begun must be there")
    max_associations: int = Field(32, ge=1, description="Associations at one time")
    max_per_address: int = Field(16, ge=1, description="Associations of one address at one time")
    accepts_per_s: float = Field(
        50.0, gt=0, description="Connections a second from one address, over ten seconds"
    )
    backlog: int = Field(128, ge=1, description="Connections that may wait to be accepted")
    handshake_s: Seconds = Field(5.0, description="Seconds for a TLS handshake")
    acse_s: Seconds = Field(10.0, description="Seconds for a connection to request an association")
    idle_s: Seconds = Field(60.0, description="Silence after which an association is closed")
    dimse_s: Seconds = Field(60.0, description="Silence within one message that ends it")
    association_s: Seconds = Field(3600.0, description="Longest duration of one association")
    max_object_mb: float = Field(512.0, gt=0, description="Largest object, in MiB")
    max_objects: int = Field(5000, ge=1, description="Objects in one association")
    max_contexts: int = Field(128, ge=1, description="Presentation contexts in one request")
