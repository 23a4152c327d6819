"""Who calls, as the association says it: names, contexts, and what was shown in TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, cast

from dicom_node.certificates import shown_by
from dicom_node.domain.association import UNANSWERED, Contexts, Visit

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import A_ASSOCIATE
    from pynetdicom.presentation import PresentationContext


def visit_of(assoc: Association) -> Visit:
    """Who came, what was proposed and, once that is known, what was answered."""
    request = cast("A_ASSOCIATE", assoc.requestor.primitive)
    answers = {
        context.context_id: context
        for context in (*assoc.accepted_contexts, *assoc.rejected_contexts)
    }
    proposed = [
        (context, answers.get(context.context_id))
        for context in request.presentation_context_definition_list
    ]
    return Visit(
        called_ae=plain(request.called_ae_title),
        calling_ae=plain(request.calling_ae_title),
        address=str(assoc.requestor.address),
        contexts=_contexts(proposed),
        **_secrecy(assoc),
    )


def _secrecy(assoc: Association) -> dict[str, Any]:
    """TLS version and certificate of a caller; nothing of one without TLS."""
    transport = assoc.dul.socket
    connection = None if transport is None else transport.socket
    if not isinstance(connection, ssl.SSLSocket):
        return {}
    try:
        return {"tls": connection.version() or "", "shown": shown_by(connection)}
    except (OSError, ValueError):
        return {}  # it has hung up, or shown what nobody can read: no proof


def plain(text: object, longest: int = 16) -> str:
    """An AE title or UID as anybody may send it, harmless to databases, logs, terminals."""
    return "".join(c if " " <= c <= "~" else "?" for c in str(text).strip())[:longest]


def _contexts(
    proposed: list[tuple[PresentationContext, PresentationContext | None]],
) -> tuple[Contexts, ...]:
    """Contexts that differ only in their class, put together: senders propose up to 128."""
    groups: dict[tuple[tuple[str, ...], int, str], dict[str, None]] = {}
    for context, answer in proposed:
        syntaxes = tuple(plain(uid, 64) for uid in context.transfer_syntax)
        result = UNANSWERED if answer is None or answer.result is None else answer.result
        accepted = "" if answer is None or result else str(answer.transfer_syntax[0])
        key = (syntaxes, result, accepted)
        groups.setdefault(key, {})[plain(context.abstract_syntax, 64)] = None
    return tuple(
        Contexts(classes=tuple(classes), syntaxes=syntaxes, result=result, accepted=accepted)
        for (syntaxes, result, accepted), classes in groups.items()
    )
