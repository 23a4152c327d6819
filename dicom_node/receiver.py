"""A process that receives: it gets connections from the node's own process, and says what came."""

from __future__ import annotations

import os
import signal
import sys

from dicom_node import memory
from dicom_node.listen import Hand
from dicom_node.logs import configure, in_words, logger
from dicom_node.reception import Reception
from dicom_node.settings import config_file, load_settings
from dicom_node.store.archive import Archive
from dicom_node.store.keeping import Keeper
from dicom_node.store.ledger import Ledger
from dicom_node.wire.handover import Message, RemoteGate, inherited


def main(descriptor: int) -> None:
    """Receive until the node's own process says so, or is gone."""
    # Who stops the node stops it, not us: we are told when to end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    memory.begin()
    settings = load_settings(config_file())
    configure(settings.logs.level)
    channel = inherited(descriptor)
    ledger, archive = Ledger(settings.ledger_url), Archive(settings.data_dir)
    keeper = Keeper(archive, ledger)
    keeper.start()
    gate = RemoteGate(settings.listener, channel)
    reception = Reception(
        settings,
        archive,
        ledger,
        keeper,
        lambda: channel.say("news"),
        row=lambda key, is_open: channel.say("row", str(key), "open" if is_open else ""),
        gate=gate,
    )
    hand = reception.port.take(reception.handlers)
    memory.started()
    channel.say("ready")
    while (message := channel.hear()) is not None:
        if message.words[0] == "stop":
            break
        if message.connection is not None:
            _take(message, hand)
        elif message.words[0] == "seat":
            gate.answered(*message.words[1:])
    else:
        # The node has died: so do we, before another one finds us in its folder.
        os._exit(1)
    reception.port.close()
    keeper.stop()
    ledger.close()


def _take(message: Message, hand: Hand) -> None:
    """Begin with a connection; a fault of ours costs this one only."""
    connection = message.connection
    assert connection is not None  # noqa: S101 - it came along
    _, host, port, secure = message.words
    try:
        hand(connection, (host, int(port)), bool(secure))
    except Exception as error:  # noqa: BLE001 - the edge of the process: the others go on
        logger("wire").error(
            "connection not served", address=host, error=error, reason=in_words(error)
        )
        connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    # Threads that wait for peers must not hold the process.
    sys.stderr.flush()
    os._exit(0)
