"""Results go out over TLS to a PACS of others, and to nobody who does not prove who it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.deliver import Deliverer
from dicom_node.settings import default_settings
from tests.authority import Authority
from tests.integration.post import Post
from tests.peers import orthanc

pytestmark = pytest.mark.orthanc


def test_results_go_to_orthanc_over_tls_and_not_to_an_impostor(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pacs, ours = authority.issue("pacs", "localhost"), authority.issue("node")
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(pacs.certificate),
        "DicomTlsPrivateKey": str(pacs.key),
        "DicomTlsTrustedCertificates": str(authority.file),
        "DicomTlsRemoteCertificateRequired": True,
        "DicomAet": "PACS",
    }
    with orthanc(tmp_path, {}, more=settings) as peer:
        post = Post(tmp_path / "data", peer.port)
        archive, ledger = post.hospital.archive, post.hospital.ledger
        there = {"name": "pacs", "ae_title": "PACS", "port": peer.port, "tls": True}
        own = {"certificate_file": str(ours.certificate), "key_file": str(ours.key), "port": 0}
        own["ca_file"] = str(authority.file)
        for host, state in (("127.0.0.1", "waiting"), ("localhost", "accepted")):
            made = default_settings({"tls": own, "destinations": [there | {"host": host}]})
            post.due_now()
            Deliverer(made.destinations[0], "FAPS", archive, ledger, lambda: None).tick()
            assert set(post.states().values()) == {state}
            if state == "waiting":
                assert "IP address mismatch" in post.sheet().deliveries[0]["reason"]
                assert peer.get("/instances") == []
        assert len(peer.get("/instances")) == 2
        ledger.close()
