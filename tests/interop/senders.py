"""Programs of others that store into the node: how each is told to, which syntaxes it offers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE

from dicom_node.settings import default_settings
from dicom_node.tls import client_context
from tests.authority import Authority, Identity
from tests.interop.dcmjs import store_with_dcmjs
from tests.mammogram_headers import MG_FOR_PRESENTATION
from tests.peers import free_port, need, opens, orthanc, wait_until

TITLE = "MODALITY"
LIMIT_S = 120
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
CODED = (JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless)
HTJ2K = (HTJ2KLossless, HTJ2KLosslessRPCL)
# How storescu is told to propose a file's own syntax.
STORESCU = dict(
    zip((*NATIVE, *CODED), ("-xe", "-xi", "-xb", "-xs", "-xt", "-xv", "-xr"), strict=True)
)


Files = Mapping[UID, Path]  # by transfer syntax


@dataclass(frozen=True)
class Target:
    """The node's port; with ``own`` it speaks TLS, and the sender shows this certificate."""

    port: int
    folder: Path
    authority: Authority
    own: Identity | None = None


@dataclass(frozen=True)
class Sender:
    """``store`` stores files, one for each of the syntaxes; a refusal is an error."""

    name: str
    store: Callable[[Target, Files], None]
    syntaxes: tuple[UID, ...]
    marks: tuple[str, ...] = field(default=())


def run(command: Sequence[str | Path], *, may_fail: bool = False) -> str:
    """A sender's program to its end."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=LIMIT_S,
        env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
    assert may_fail or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _dcmtk_tls(target: Target) -> list[str | Path]:
    if target.own is None:
        return []
    return ["+tls", target.own.key, target.own.certificate, "+cf", target.authority.file]


def by_storescu(target: Target, files: Files) -> None:
    """DCMTK's storescu."""
    command = [need("storescu", "dcmtk"), "-aec", "FAPS", "-aet", TITLE, *_dcmtk_tls(target)]
    for syntax, file in files.items():
        said = run([*command, STORESCU[syntax], "localhost", str(target.port), file])
        assert "E:" not in said, said


def by_dcmsend(target: Target, files: Files) -> None:
    """DCMTK's dcmsend; in Debian's version it speaks no TLS, so stunnel stands in front of it."""
    command = [need("dcmsend", "dcmtk"), "-aec", "FAPS", "-aet", TITLE, "--decompress-never"]
    with tunnel(target) as port:
        run([*command, "localhost", str(port), *files.values()])


def by_orthanc(target: Target, files: Files) -> None:
    """Orthanc, told by its REST interface."""
    tls: dict[str, object] = {"DicomTlsEnabled": False}
    node: dict[str, object] = {"AET": "FAPS", "Host": "localhost", "Port": target.port}
    if target.own is not None:
        node["UseDicomTls"] = True
        tls |= {
            "DicomTlsCertificate": str(target.own.certificate),
            "DicomTlsPrivateKey": str(target.own.key),
            "DicomTlsTrustedCertificates": str(target.authority.file),
        }
    settings = {"DicomModalities": {"faps": node}, "DicomAet": TITLE, **tls}
    with orthanc(target.folder, {}, more=settings) as peer:
        sent = [peer.post("/instances", file.read_bytes())["ID"] for file in files.values()]
        order = {"Resources": sent, "Synchronous": True}
        done = peer.post("/modalities/faps/store", json.dumps(order))
        assert done["FailedInstancesCount"] == 0, peer.log.read_text()[-3000:]


def by_ctn(target: Target, files: Files) -> None:
    """CTN's send_image; it speaks no TLS, so stunnel stands in front of it."""
    program = need("send_image", "ctn")
    with tunnel(target) as port:
        for syntax, file in files.items():
            command = [program, "-q", "-r", "-a", TITLE, "-c", "FAPS", "-X", str(syntax)]
            said = run([*command, "localhost", str(port), file])
            assert "rror" not in said, said


def by_odil(target: Target, files: Files) -> None:
    """Odil's store; it speaks no TLS, so stunnel stands in front of it."""
    program = need("odil", "odil")
    with tunnel(target) as port:
        run([program, "store", "localhost", str(port), TITLE, "FAPS", *files.values()])


def by_gdcm(target: Target, files: Files) -> None:
    """GDCM's gdcmscu, which aborts where others release: only what is kept tells how it went."""
    program = need("gdcmscu", "libgdcm-tools")
    with tunnel(target) as port:
        for file in files.values():
            where = ["-H", "localhost", "-p", str(port), "--aetitle", TITLE, "--call", "FAPS"]
            run([program, "--store", *where, "-i", file], may_fail=True)


def by_dcmjs(target: Target, files: Files) -> None:
    """dcmjs-dimse on Node.js."""
    store_with_dcmjs(
        target.port, TITLE, list(files.values()), target.own, target.authority, target.folder
    )


def by_pynetdicom(target: Target, files: Files) -> None:
    """Stock pynetdicom."""
    ae = AE(ae_title=TITLE)
    for syntax in files:
        ae.add_requested_context(MG_FOR_PRESENTATION, syntax)
    secret = None
    if target.own is not None:
        tls = {"ca_file": str(target.authority.file), "port": 0}
        tls |= {"certificate_file": str(target.own.certificate), "key_file": str(target.own.key)}
        there = {"name": "n", "ae_title": "FAPS", "host": "localhost", "tls": True}
        settings = default_settings({"tls": tls, "destinations": [there]})
        secret = (client_context(settings.destinations[0]), "localhost")
    assoc = ae.associate("localhost", target.port, ae_title="FAPS", tls_args=secret)
    assert assoc.is_established
    for file in files.values():
        assert assoc.send_c_store(file).Status == 0x0000
    assoc.release()


@contextmanager
def tunnel(target: Target) -> Iterator[int]:
    """The port for a sender without TLS: the node's own, or one of a stunnel before it."""
    if target.own is None:
        yield target.port
        return
    program, port = need("stunnel4", "stunnel4"), free_port()
    config = target.folder / "stunnel.conf"
    lines = [
        "foreground = yes", "pid =", "[dicom]", "client = yes", f"accept = 127.0.0.1:{port}",
        f"connect = localhost:{target.port}", f"cert = {target.own.certificate}",
        f"key = {target.own.key}", f"CAfile = {target.authority.file}", "verifyChain = yes",
        "checkHost = localhost",
    ]  # fmt: skip
    config.write_text("\n".join(lines) + "\n")
    log = target.folder / "stunnel.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program, str(config)], stdout=out, stderr=out)
    try:
        wait_until(lambda: opens(port), "stunnel's port", 15)
        yield port
    finally:
        process.terminate()
        process.wait(15)


SENDERS = (
    Sender("storescu", by_storescu, (*NATIVE, *CODED), ("dcmtk",)),
    Sender("gdcm", by_gdcm, (*NATIVE, JPEGLossless, *CODED)),
    # Some send whatever is native as explicit VR little endian.
    Sender("dcmsend", by_dcmsend, (ExplicitVRLittleEndian, JPEGLossless, *CODED), ("dcmtk",)),
    Sender("orthanc", by_orthanc, (*NATIVE, JPEGLossless, *CODED), ("orthanc",)),
    Sender("ctn", by_ctn, (ImplicitVRLittleEndian, ExplicitVRLittleEndian)),
    Sender("odil", by_odil, (ExplicitVRLittleEndian,)),
    Sender("dcmjs", by_dcmjs, (ExplicitVRLittleEndian, ExplicitVRBigEndian, *CODED, *HTJ2K)),
    Sender("pynetdicom", by_pynetdicom, (*NATIVE, JPEGLossless, *CODED, *HTJ2K)),
)
