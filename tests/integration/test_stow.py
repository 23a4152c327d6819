"""Results on their way by STOW-RS: Orthanc's DICOMweb, and a server that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dicom_node import dicomweb
from dicom_node.domain.identifiers import derive_uid
from dicom_node.domain.reach import OPEN_AFTER
from dicom_node.errors import ConfigurationError, PeerError
from dicom_node.see import Seer
from dicom_node.settings import load_settings
from tests.integration.databases import let_pass
from tests.integration.post import Post
from tests.peers import free_port, orthanc


def by_web(folder: Path, url: str, **settings: Any) -> Post:
    """Results for a destination on the web."""
    return Post(folder, 104, kind="dicomweb", url=url, ae_title="", host="", **settings)


@dataclass
class Archive:
    """A DICOMweb server: ``answers`` are (status, body), used one after another."""

    answers: list[tuple[int, dict[str, Any]]]
    url: str = ""
    stored: list[bytes] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    def answer(self) -> tuple[int, dict[str, Any]]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def archive(*answers: tuple[int, dict[str, Any]]) -> Iterator[Archive]:
    served = Archive(list(answers) or [(200, {})])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            self._say(200, [])

        def do_POST(self) -> None:
            served.headers.append(self.headers.get("Authorization", ""))
            served.stored.append(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = served.answer()
            if status:
                self._say(status, body)
            else:
                self.close_connection = True  # stored, and no answer

        def _say(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def failed(reason: int, name: str = "seg") -> dict[str, Any]:
    """A response that refuses one object (PS3.18 I.2.2)."""
    item = {
        "00081155": {"vr": "UI", "Value": [derive_uid("result", name)]},
        "00081197": {"vr": "US", "Value": [reason]},
    }
    return {"00081198": {"vr": "SQ", "Value": [item]}}


def warned(reason: int, name: str = "seg") -> dict[str, Any]:
    item = {
        "00081155": {"vr": "UI", "Value": [derive_uid("result", name)]},
        "00081196": {"vr": "US", "Value": [reason]},
    }
    return {"00081199": {"vr": "SQ", "Value": [item]}}


@pytest.mark.parametrize(
    ("status", "body", "state", "said"),
    [
        (200, {}, "accepted", "stored by STOW-RS"),
        (202, warned(0xB000), "accepted", "stored, with warning 0xB000"),
        (202, failed(0xA700), "waiting", "status 0xA700"),
        (409, failed(0xA700), "waiting", "status 0xA700"),
        (409, failed(0x0122), "waiting", "does not take Segmentation Storage, status 0x0122"),
        (409, {}, "waiting", "HTTP 409"),
        (401, {}, "waiting", "HTTP 401 to STOW-RS; check url_headers_file"),
        (503, {}, "waiting", "HTTP 503"),
        (0, {}, "unknown", "no answer to STOW-RS"),
    ],
)
def test_each_object_has_the_outcome_that_the_server_told(
    tmp_path: Path, status: int, body: dict[str, Any], state: str, said: str
) -> None:
    with archive((status, body), (200, {})) as server:
        post = by_web(tmp_path, server.url)
        post.deliverer.tick()
        row = post.sheet().deliveries[0]
        assert row["state"] == state
        assert said in row["reason"]
        post.due_now()
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered"


def test_the_stored_bytes_go_out_as_they_are(tmp_path: Path) -> None:
    secret = tmp_path / "headers"
    secret.write_text("Authorization: Bearer abc\n")
    with archive() as server:
        post = by_web(tmp_path / "node", server.url, url_headers_file=str(secret))
        parcels = post.hospital.ledger.deliveries.due("pacs")
        post.deliverer.tick()
        for parcel, stored in zip(parcels, server.stored, strict=True):
            assert post.hospital.archive.read(parcel.sha256) in stored
        assert set(server.headers) == {"Bearer abc"}


def test_a_refusal_by_class_is_final_after_three_and_then_at_once(tmp_path: Path) -> None:
    with archive((409, failed(0x0122))) as server:
        post = by_web(tmp_path, server.url)
        for _ in range(3):
            post.deliverer.tick()
            post.due_now()
        assert post.states()["seg"] == "replaced"
        assert list(post.hospital.ledger.destinations.not_taken()["pacs"])


def test_a_server_that_is_down_is_probed_like_a_pacs(tmp_path: Path) -> None:
    post = by_web(tmp_path, f"http://127.0.0.1:{free_port()}/dicom-web")
    ledger = post.hospital.ledger
    for _ in range(OPEN_AFTER):
        post.deliverer.tick()
        let_pass(ledger.database, 30)
    assert "cannot connect" in post.sheet().deliveries[0]["reason"]
    with pytest.raises(PeerError, match="cannot connect"):
        dicomweb.probe(post.destination)
    assert ledger.destinations.reach("pacs")[0].down


def test_orthanc_stores_and_lists_what_comes_by_web(tmp_path: Path) -> None:
    with orthanc(tmp_path, {}, dicomweb=True) as pacs:
        post = by_web(
            tmp_path / "node", f"{pacs.url}/dicom-web", confirm="query", images_first=True,
            images_wait_s=100,
        )  # fmt: skip
        post.deliverer.tick()
        assert "8 of 8 images of the exam are not there" in post.sheet().deliveries[0]["reason"]
        let_pass(post.hospital.ledger.database, 101)
        post.deliverer.tick()
        assert post.sheet().line.state == "delivered", post.sheet().deliveries
        assert len(pacs.instances(post.exam.uid)) == 2
        hospital = post.hospital
        Seer(post.destination, "FAPS", hospital.archive, hospital.ledger).tick()
        assert set(post.states().values()) == {"seen"}
        assert post.sheet().line.state == "confirmed"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": ""}, "needs url"),
        ({"url": "https://a/dicom-web", "confirm": "commitment"}, "no Storage Commitment"),
        ({"url": "https://a/dicom-web", "url_ca_file": "/nowhere.pem"}, "is no file"),
    ],
)
def test_what_a_destination_on_the_web_needs_is_said(values: dict[str, str], said: str) -> None:
    destination = {"name": "web", "kind": "dicomweb", **values}
    with pytest.raises(ConfigurationError, match=said):
        load_settings(overrides={"destinations": [destination]})
