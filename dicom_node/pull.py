"""Images of a study fetched from a PACS: C-FIND, then C-GET, or C-MOVE to ourselves (PS3.4 C)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made dynamically
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_node import look
from dicom_node.associate import association, peer
from dicom_node.domain.dimse import INPUT_CLASSES, LOSSLESS_SYNTAXES, UNCOMPRESSED
from dicom_node.domain.pull import Found, PullState, wanted
from dicom_node.domain.study import missing_images
from dicom_node.errors import ConfigurationError, PeerError
from dicom_node.logs import logger
from dicom_node.settings import Destination, Settings
from dicom_node.store.ledger import Ledger
from dicom_node.store.pulls import Order
from dicom_node.wire.command import C_STORE_RQ, Command
from dicom_node.wire.messages import Incoming

LOOK_S = 1.0
SUCCESS = 0x0000
_MODELS = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)


Retrieve = Callable[[Dataset], Iterator[tuple[Dataset, Dataset | None]]]
Begin = Callable[[Any, PresentationContext, Command], Incoming]


@dataclass(frozen=True)
class _Sender:
    """An association as the receiver sees it: the PACS is who sends, though we called."""

    requestor: Any


class Puller:
    """Works on one order at a time; images take the way of every image that is received."""

    def __init__(self, settings: Settings, ledger: Ledger, begin: Begin) -> None:
        self._settings = settings.pull
        self._expected = settings.completeness.expected_views
        self._calling_ae = settings.listener.ae_title
        self._known = {one.name: one for one in settings.destinations}
        self._ledger = ledger
        self._begin = begin
        self._log = logger("pull")

    def tick(self) -> float:
        """Work on the order whose turn it is; seconds until the next look."""
        if self._settings.automatic:
            self._order_what_is_missing()
        order = self._ledger.pulls.due()
        if order is None:
            return LOOK_S
        complete, pulled, reason = False, 0, ""
        try:
            complete, pulled, reason = self._work_on(order)
        except (PeerError, ConfigurationError) as error:
            reason = str(error)
        state = self._ledger.pulls.ended(order, complete=complete, pulled=pulled, reason=reason)
        say = self._log.info if state is PullState.PULLED else self._log.warning
        say("pull", study=order.study_instance_uid, count=pulled, reason=reason, state=state.value)
        return self._settings.pause_s

    def _order_what_is_missing(self) -> None:
        studies, now = self._ledger.studies.open_studies()
        for study in studies:
            arrival = study.arrival
            silent = now - arrival.last_received_at >= self._settings.after_s
            if silent and missing_images(arrival.headers, self._expected):
                self._ledger.pulls.order_for(
                    study.study_instance_uid, self._settings.source, arrival.last_received_at
                )

    def _work_on(self, order: Order) -> tuple[bool, int, str]:
        """Whether all is here now, how many images came, and that in words."""
        source = self._known.get(order.source) or peer(order.source)
        handlers = [(evt.EVT_C_STORE, self._store)]
        roles = [build_role(uid, scp_role=True) for uid in INPUT_CLASSES]
        with association(source, self._calling_ae, _contexts(), handlers, roles) as assoc:
            found = list(_images(assoc, source, order.study_instance_uid))
            missing = wanted(found, self._here(found), self._settings.most_images)
            for number, image in enumerate(missing):
                if number:
                    time.sleep(self._settings.pause_s)
                self._retrieve(assoc, order, image)
        if not found:
            return False, 0, "the PACS has no mammogram of this study"
        pulled = len(self._here(missing))
        still = len(wanted(found, self._here(found), len(found)))
        words = f"{len(found)} images there, {pulled} pulled"
        return not still, pulled, words + (f", {still} did not come" if still else "")

    def _here(self, images: Sequence[Found]) -> set[str]:
        uids = [image.sop_instance_uid for image in images]
        return {one.sop_instance_uid for one in self._ledger.promises.kept(uids) if not one.removed}

    def _retrieve(self, assoc: Association, order: Order, image: Found) -> None:
        """One image; what does not come is tried again with the order."""
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = order.study_instance_uid
        query.SeriesInstanceUID = image.series_instance_uid
        query.SOPInstanceUID = image.sop_instance_uid
        code: int | None = None
        for retrieve in self._ways(assoc):
            code = _last_status(retrieve(query))
            if code == SUCCESS or not assoc.is_established:
                break
        if code != SUCCESS:
            words = "no answer" if code is None else f"status 0x{code:04X}"
            self._log.warning("image not pulled", sop_instance=image.sop_instance_uid, reason=words)
        if not assoc.is_established:
            raise PeerError("the PACS ended the association")

    def _ways(self, assoc: Association) -> list[Retrieve]:
        """How the PACS may be asked: C-GET first, for which it needs to know no address of ours."""
        accepted = {context.abstract_syntax for context in assoc.accepted_contexts}
        sends = any(context.as_scp for context in assoc.accepted_contexts)
        _, get, move = _MODELS
        ways: list[Retrieve] = []
        if get in accepted and sends:
            ways.append(lambda query: assoc.send_c_get(query, get))
        if move in accepted:
            ways.append(lambda query: assoc.send_c_move(query, self._calling_ae, move))
        if not ways:
            raise PeerError("the PACS offers neither C-GET nor C-MOVE; permit one for our AE title")
        return ways

    def _store(self, event: evt.Event) -> Dataset:
        """A C-STORE sub-operation of C-GET goes the way of every image that comes."""
        assoc, request = event.assoc, cast("Any", event.request)
        context = next(
            c for c in assoc.accepted_contexts if c.context_id == event.context.context_id
        )
        command = Command(
            field=C_STORE_RQ,
            message_id=request.MessageID,
            has_data=True,
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
        )
        incoming = self._begin(_Sender(assoc.acceptor), context, command)
        incoming.write(memoryview(request.DataSet.getvalue()))
        answer = Dataset()
        answer.Status, comment = incoming.finish()
        if comment:
            answer.ErrorComment = comment
        return answer


def _contexts() -> list[PresentationContext]:
    """The query models, and every class and syntax alone: the PACS sends what it has as it is."""
    models = [build_context(model, list(UNCOMPRESSED)) for model in _MODELS]
    images = [build_context(uid, syntax) for uid in INPUT_CLASSES for syntax in LOSSLESS_SYNTAXES]
    return models + images


def _images(assoc: Association, source: Destination, study: str) -> Iterator[Found]:
    """What the PACS has of a study's mammography series, by C-FIND of series, then images."""
    for series in look.find(source, assoc, _query("SERIES", study, Modality="MG")):
        uid = str(series.get("SeriesInstanceUID", ""))
        # A PACS that does not match by a key answers with more than was asked for.
        if not uid or series.get("Modality", "MG") != "MG":
            continue
        for image in look.find(source, assoc, _query("IMAGE", study, SeriesInstanceUID=uid)):
            if "SOPInstanceUID" in image and image.get("SeriesInstanceUID", uid) == uid:
                yield Found(uid, str(image.SOPInstanceUID), str(image.get("SOPClassUID", "")))


def _query(level: str, study: str, **keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    query.StudyInstanceUID = study
    query.SeriesInstanceUID = ""
    if level == "IMAGE":
        query.SOPInstanceUID = query.SOPClassUID = ""
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


def _last_status(answers: Iterator[tuple[Dataset, Dataset | None]]) -> int | None:
    """The final status of a retrieval; None where there was none."""
    code: int | None = None
    for status, _ in answers:
        code = status.get("Status")
    return code
