"""Our own ports, and the destinations, called."""

from __future__ import annotations

import http.client
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives.serialization import Encoding

from dicom_node import dicomweb
from dicom_node.associate import describe, echo
from dicom_node.certificates import read_certificates
from dicom_node.doctor.finding import Finding, Findings, good, node_runs, warning, wrong
from dicom_node.errors import ConfigurationError, PeerError
from dicom_node.settings import Destination, Listener, Settings

CALL_S = 5.0
LOCAL = {"127.0.0.1", "::1", "localhost"}
OK = 200


def ports(settings: Settings) -> Findings:
    """Each port of ours: free where no node runs, else answering."""
    running = node_runs(settings)
    listener, tls, web = settings.listener, settings.tls, settings.web
    if listener.plain:
        yield _dicom(listener) if running else _free("listener.port", listener.host, listener.port)
    if tls.listens:
        yield _secure(settings) if running else _free("tls.port", listener.host, tls.port)
    yield _page(settings) if running else _free("web.port", web.host, web.port)
    if listener.host not in LOCAL and not settings.peers:
        yield warning(
            "peers",
            f"node.toml lists none: everyone who calls {listener.ae_title} may come in, unless "
            "`dicom-node peers list` shows some",
            "list the senders under [[peers]], or with `dicom-node peers add`",
        )


def destinations(settings: Settings) -> Findings:
    """C-ECHO to each, a query to those on the web; all at once, for one that hangs takes long."""
    if not settings.destinations:
        remedy = "add [[destinations]] to node.toml"
        yield warning("destinations", "none: results stay on the page", remedy)
        return
    title = settings.listener.ae_title
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield from pool.map(lambda one: _called(one, title), settings.addressees)


def _called(destination: Destination, calling_ae: str) -> Finding:
    on_the_web = destination.kind == "dicomweb"
    try:
        if on_the_web:
            dicomweb.probe(destination)
        else:
            echo(destination, calling_ae)
    except PeerError as error:
        words, _, remedy = str(error).partition("; ")
        return wrong("destinations", words, remedy or "see its own log")
    how = "a query" if on_the_web else "C-ECHO over TLS" if destination.tls else "C-ECHO"
    return good("destinations", f"{describe(destination)} answers {how}")


def _free(key: str, host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except PermissionError:
            remedy = "give the service CAP_NET_BIND_SERVICE, or choose a port above 1023"
            return wrong("ports", f"{key} {port} needs a privilege", remedy)
        except OSError as error:
            remedy = "stop the other program there, or choose another port"
            return wrong("ports", f"{key} {port} on {host}: {error.strerror}", remedy)
    return good("ports", f"{key} {port} on {host} is free for the node, which does not run")


def _dicom(listener: Listener) -> Finding:
    here = Destination(
        name="this node",
        ae_title=listener.ae_title,
        host=_reached(listener.host),
        port=listener.port,
    )
    try:
        echo(here, listener.ae_title)
    except PeerError as error:
        if "Calling AE title" not in str(error):
            words, _, remedy = str(error).partition("; ")
            return wrong("ports", words, remedy or "restart the node; see its log")
        # On no list of peers, which is as it should be: our own answer says so.
    return good("ports", f"listener.port {listener.port} answers as {listener.ae_title}")


def _secure(settings: Settings) -> Finding:
    """Which certificate our TLS port shows; whether others take it is theirs to say."""
    tls = settings.tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared with the file instead
    address = (_reached(settings.listener.host), tls.port)
    try:
        (leaf, *_) = read_certificates(tls.certificate_file, "tls.certificate_file")
        plain = socket.create_connection(address, CALL_S)
        with plain, context.wrap_socket(plain) as wrapped:
            shown = wrapped.getpeercert(binary_form=True)
    except (OSError, ConfigurationError) as error:
        words = f"tls.port {tls.port} does not shake hands ({error})"
        return wrong("ports", words, "see the node's log")
    if shown != leaf.public_bytes(Encoding.DER):
        words = f"tls.port {tls.port} shows another certificate than {tls.certificate_file} holds"
        return warning("ports", words, "see the node's log: it says why it did not take the file")
    return good("ports", f"tls.port {tls.port} shows the certificate of {tls.certificate_file}")


def _page(settings: Settings) -> Finding:
    web = settings.web
    connection = http.client.HTTPConnection(_reached(web.host), web.port, timeout=CALL_S)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        words = answer.read(2000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        words = f"web.port {web.port} does not answer ({type(error).__name__})"
        return wrong("ports", words, "restart the node; see its log")
    finally:
        connection.close()
    if answer.status != OK:
        return wrong("ports", f"the node takes no images: {words}", "see docs/runbook.md")
    return good("ports", f"web.port {web.port} answers, the node is ready")


def _reached(host: str) -> str:
    """Where a service that listens on ``host`` is found from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
