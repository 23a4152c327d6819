"""One association that asks a peer what it takes; nothing is stored there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.associate import association
from dicom_node.domain.dimse import UNCOMPRESSED
from dicom_node.domain.offers import OFFERS, Answer, Profile, refusal_words
from dicom_node.errors import NothingAccepted
from dicom_node.settings import Destination


def probe(destination: Destination, calling_ae: str) -> tuple[Answer, ...]:
    """The peer's answer to every class that we could send or use, in the order of ``OFFERS``.

    A peer that takes none of the classes has answered too.

    Raises
    ------
    PeerError
        When there is no association.

    """
    # A context for each pair: within one, a peer names only the syntax that it likes best.
    contexts = [
        build_context(sop_class, syntax) for _, sop_class in OFFERS for syntax in UNCOMPRESSED
    ]
    heard: list[PresentationContext] = []

    def hear(event: evt.Event) -> None:
        heard.extend([*event.assoc.accepted_contexts, *event.assoc.rejected_contexts])

    handlers = [(evt.EVT_ACCEPTED, hear)]
    with suppress(NothingAccepted), association(destination, calling_ae, contexts, handlers):
        pass  # the negotiation was the question
    return tuple(
        _answer(name, sop_class, [one for one in heard if one.abstract_syntax == UID(sop_class)])
        for name, sop_class in OFFERS
    )


def profile_of(destination: Destination) -> Profile:
    """What the settings ask of a destination."""
    return Profile(
        outputs=destination.outputs,
        sr_class=destination.sr_class,
        commitment=destination.needs_commitment,
        queries=destination.recheck != "off",
    )


def _answer(name: str, sop_class: str, contexts: Sequence[PresentationContext]) -> Answer:
    taken = {syntax for one in contexts if one.result == 0 for syntax in one.transfer_syntax}
    refused = [one.result for one in contexts if one.result != 0]
    return Answer(
        name=name,
        sop_class=sop_class,
        syntaxes=tuple(syntax.name for syntax in UNCOMPRESSED if syntax in taken),
        reason="" if taken else refusal_words(refused[0] if refused else None),
    )
