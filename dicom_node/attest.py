"""Events sealed into their chain, then told to the audit repository."""

from __future__ import annotations

import os
import socket

from dicom_node.domain.audit import House, messages
from dicom_node.logs import logger
from dicom_node.settings import Settings
from dicom_node.store.chain import BATCH
from dicom_node.store.ledger import Ledger
from dicom_node.syslog import Receiver, framed

LOOK_S = 1.0
EVERYTHING_S = 3600.0
YEAR_S = 365.25 * 86400.0
AWAY_FIRST_S, AWAY_MAX_S = 2.0, 60.0
AT_ONCE = 200


def house_of(settings: Settings) -> House:
    """Who reports."""
    listener = settings.listener
    host = socket.gethostname()
    return House(
        source_id=settings.audit.source_id or host,
        ae_titles=(listener.ae_title, *listener.ae_titles),
        host=host,
    )


class Attester:
    """Safe to be killed at any moment: what is not sealed or not told is so the next time."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._audit = settings.audit
        self._house = house_of(settings)
        self._ledger = ledger
        self._receiver = Receiver(settings.audit)
        self._log = logger("audit")
        self._ticks_to_everything = 0
        self._pause = AWAY_FIRST_S

    def tick(self) -> float:
        """Seal, tell, once an hour look at everything; seconds until the next look."""
        chain = self._ledger.chain
        if self._ticks_to_everything == 0:
            self._look_at_everything()
        self._ticks_to_everything -= 1
        if chain.seal() == BATCH:
            return 0.0
        return self._tell() if self._audit.host else LOOK_S

    def _look_at_everything(self) -> None:
        self._ticks_to_everything = int(EVERYTHING_S / LOOK_S)
        while self._ledger.chain.seal(everything=True) == BATCH:
            continue
        if self._audit.keep_years > 0:
            gone = self._ledger.chain.forget(self._audit.keep_years * YEAR_S)
            if gone:
                self._log.info("old events removed", count=gone)

    def _tell(self) -> float:
        """Hand over what waits; what a dead connection may have swallowed is told again."""
        while entries := self._ledger.trail.waiting(AT_ONCE):
            told = messages(entries, self._house)
            try:
                self._receiver.hand_over(framed(m, self._house.host, os.getpid()) for m in told)
            except OSError as error:
                self._log.warning("audit repository away", reason=str(error) or repr(error))
                self._pause, pause = min(self._pause * 2, AWAY_MAX_S), self._pause
                return pause
            self._pause = AWAY_FIRST_S
            self._ledger.trail.handed_over(entries[-1].position)
        return LOOK_S

    def close(self) -> None:
        """Seal and tell what is left, once, then end the connection."""
        self._ledger.chain.seal()
        if self._audit.host:
            self._tell()
        self._receiver.close()
