"""A destination on the web: objects stored by STOW-RS, looked for by QIDO-RS (PS3.18)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset

from dicom_node.carry import not_taken
from dicom_node.destination_section import Destination
from dicom_node.domain.delivery import DeliveryEvent, Outcome, outcome_of
from dicom_node.errors import ArchiveError, ConfigurationError, NothingAccepted, PeerError
from dicom_node.store.archive import Archive
from dicom_node.store.deliveries import Parcel

CONNECT_S = 10.0
ANSWER_S = 60.0
_STUDY_OF_ALL = {"limit": "1"}
# PS3.18 Table 10.5.3-1; what an administrator can mend counts as passing, as a wrong AE title does.
_NOT_TAKEN = 415
_CONFLICT = 409
_REFUSED = {400, 409, 413, 415, 422}
_NO_SUCH_SERVICE = {404, 405, 501}


class WebCarrier:
    """One destination's HTTP session: what was stored is told object by object."""

    def __init__(self, destination: Destination, archive: Archive) -> None:
        self._destination = destination
        self._archive = archive
        self._client: _Client | None = None
        self._used_at = 0.0

    def open(self, _sop_classes: Collection[str]) -> bool:
        """Have a session with a server that answers; whether it is a new one.

        Raises
        ------
        PeerError
            When the server does not answer.

        """
        if self._client is not None:
            return False
        self.probe()
        self._client = _client(self._destination)
        self._used_at = time.monotonic()
        return True

    @property
    def is_open(self) -> bool:
        """Whether the next object can be sent."""
        return self._client is not None

    def send(self, parcel: Parcel) -> Outcome:
        """Store one object; call only while it is open."""
        assert self._client is not None  # noqa: S101 - see above
        try:
            content = self._archive.read(parcel.sha256)
        except ArchiveError as error:
            return Outcome(event=DeliveryEvent.TRANSIENT, status=None, reason=str(error))
        self._used_at = time.monotonic()
        try:
            answer = self._client.store(parcel.study_instance_uid, content)
        except requests.HTTPError as error:
            return _outcome_of_error(error, parcel)
        except (requests.RequestException, ValueError) as error:
            self.close()  # whether it arrived is not known
            reason = f"no answer to STOW-RS: {type(error).__name__}"
            return Outcome(event=DeliveryEvent.NO_ANSWER, status=None, reason=reason)
        return _outcome(answer, parcel)

    def rest(self) -> None:
        """Nothing is to be sent now: end a session that was idle for too long."""
        if time.monotonic() - self._used_at >= self._destination.keep_open_s:
            self.close()

    def close(self) -> None:
        """End the session."""
        if self._client is not None:
            self._client.end()
        self._client = None

    def probe(self) -> None:
        """Ask whether the server is there; a ``PeerError`` says that it is not."""
        probe(self._destination)


def probe(destination: Destination) -> None:
    """Ask a server for one study; a ``PeerError`` says that it is not there, or not so."""
    with _told(destination), _client(destination) as client:
        client.search(None, _STUDY_OF_ALL)


class _Client(DICOMwebClient):
    """The library's client with what we ask of it; stored bytes go out as they are."""

    def store(self, study: str, content: bytes) -> Dataset:
        url = f"{self.base_url}/studies/{study}"
        return self._http_post_multipart_application_dicom(url, [content])

    def search(self, study: str | None, parameters: dict[str, str]) -> list[dict[str, Any]]:
        return self.search_for_studies(
            search_filters={"StudyInstanceUID": study} if study else None,
            additional_params={key: [value] for key, value in parameters.items()},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._session.close()


def _client(destination: Destination) -> _Client:
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc of whoever started the node
    if destination.url_ca_file:
        session.verify = destination.url_ca_file
    client = _Client(
        destination.url.rstrip("/"),
        session=session,
        headers=_headers(destination),
        timeout=(CONNECT_S, ANSWER_S),
    )
    client.set_http_retry_params(retry=False)  # when to try again is the ledger's affair
    return client


def _headers(destination: Destination) -> dict[str, str]:
    """HTTP headers from the destination's secret file, read anew: tokens change."""
    if not destination.url_headers_file:
        return {}
    try:
        lines = Path(destination.url_headers_file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"{destination.name}: url_headers_file cannot be read ({error.strerror})"
        ) from None
    pairs = (line.partition(":") for line in lines if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def studies(destination: Destination, study: str, keywords: Sequence[str]) -> list[Dataset]:
    """What the server says of a study; a ``PeerError`` when it gives no answer."""
    with _told(destination), _client(destination) as client:
        fields = {"includefield": ",".join(keywords)}
        answers = [Dataset.from_json(answer) for answer in client.search(study, fields)]
    return [answer for answer in answers if answer.get("StudyInstanceUID") == study]


def instances(destination: Destination, study: str, series: Iterable[str]) -> set[str]:
    """SOP Instance UIDs that the server lists in these series; a ``PeerError`` as above."""
    found: set[str] = set()
    with _told(destination), _client(destination) as client:
        for uid in sorted(set(series)):
            answers = client.search_for_instances(study, uid, get_remaining=True)
            found |= {str(Dataset.from_json(answer).get("SOPInstanceUID")) for answer in answers}
    return found


@contextmanager
def _told(destination: Destination) -> Iterator[None]:
    """Faults of a query in the words of a peer that did not do what was asked."""
    try:
        yield
    except requests.HTTPError as error:
        code = _code(error)
        words = f"{destination.name} ({destination.url}): HTTP {code}{_advice(code)}"
        raise (NothingAccepted if code in _NO_SUCH_SERVICE else PeerError)(words) from None
    except (requests.RequestException, ValueError) as error:
        reason = _reason(error)
        raise PeerError(f"{destination.name} ({destination.url}): {reason}") from None


def _code(error: requests.HTTPError) -> int:
    return 0 if error.response is None else int(error.response.status_code)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed; check url_ca_file and the server's certificate"
    if isinstance(error, requests.Timeout):
        return "no answer in time; check address, port and firewall"
    if isinstance(error, requests.ConnectionError):
        return "cannot connect; check address, port and firewall, that the server is up"
    return f"answers in a form that is no DICOMweb ({type(error).__name__}); check url"


def _advice(code: int) -> str:
    if code in {401, 403}:
        return "; check url_headers_file"
    return "; check url" if code in _NO_SUCH_SERVICE else ""


def _outcome(answer: Dataset, parcel: Parcel) -> Outcome:
    """Judge a response that the server calls a success (PS3.18 Table 10.5.3-2)."""
    for item in answer.get("FailedSOPSequence") or []:
        if item.get("ReferencedSOPInstanceUID", parcel.sop_instance_uid) == parcel.sop_instance_uid:
            return _failed(int(item.get("FailureReason") or 0xC000), parcel)
    for item in answer.get("ReferencedSOPSequence") or []:
        warning = item.get("WarningReason")
        if item.get("ReferencedSOPInstanceUID") == parcel.sop_instance_uid and warning:
            return Outcome(
                event=DeliveryEvent.SUCCESS,
                status=int(warning),
                reason=f"stored, with warning 0x{int(warning):04X}",
            )
    return Outcome(event=DeliveryEvent.SUCCESS, status=0x0000, reason="stored by STOW-RS")


def _failed(status: int, parcel: Parcel) -> Outcome:
    """A failure reason has the codes of C-STORE (PS3.18 I.2.2)."""
    outcome = outcome_of(status)
    return not_taken(parcel.sop_class_uid, outcome) if outcome.not_taken else outcome


def _outcome_of_error(error: requests.HTTPError, parcel: Parcel) -> Outcome:
    code = _code(error)
    if code == _CONFLICT and error.response is not None:
        try:
            answer = error.response.json()
            first = answer[0] if isinstance(answer, list) else answer
            outcome = _outcome(Dataset.from_json(first), parcel)
            if outcome.event is not DeliveryEvent.SUCCESS:
                return outcome
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            pass  # a body that says nothing
    reason = f"HTTP {code} to STOW-RS{_advice(code)}"
    if code == _NOT_TAKEN:
        return Outcome(event=DeliveryEvent.REFUSAL, status=None, reason=reason, not_taken=True)
    event = DeliveryEvent.REFUSAL if code in _REFUSED else DeliveryEvent.TRANSIENT
    return Outcome(event=event, status=None, reason=reason)
