"""The node put together: what is built, in which order it starts, how it stops."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

import uvicorn

from dicom_node.assemble import Assembler
from dicom_node.attest import Attester
from dicom_node.certificates import ExpiryWatch
from dicom_node.confirm import Confirmer
from dicom_node.deliver import Deliverer
from dicom_node.destination_section import Destination
from dicom_node.dispatch import Dispatcher
from dicom_node.embedded import QueueServer, WorkerProcess, wait_for
from dicom_node.errors import ConfigurationError, LedgerError
from dicom_node.logs import logger
from dicom_node.loop import Loop
from dicom_node.pull import Puller
from dicom_node.receivers import Receivers, processes_of
from dicom_node.reception import Reception
from dicom_node.retain import Retainer
from dicom_node.see import Seer
from dicom_node.settings import Settings, write_effective
from dicom_node.store.archive import Archive
from dicom_node.store.deliveries import Plan
from dicom_node.store.folder_lock import hold
from dicom_node.store.keeping import Keeper
from dicom_node.store.ledger import Ledger
from dicom_node.store.migrate import migrate, pending
from dicom_node.store.owners import owner_name
from dicom_node.verify import Verifier
from dicom_node.web.app import make_app
from dicom_node.wire.gate import Gate
from dicom_node.withdraw import Withdrawer

STOP_S = 30.0
PLAN_S = 0.2
ASSEMBLE_REST_S = 0.1  # each tick looks at every open study, while images come by the hundred
HOUSEKEEP_S = 60.0
WEB_START_S = 10.0


class Node:
    """Listener, loops, page and, where ``embedded``, a worker and a queue server beside them."""

    def __init__(self, settings: Settings, *, embedded: bool) -> None:
        self.settings = settings
        self._log = logger("node")
        self._lock = hold(settings.data_dir, "node")
        self.archive = Archive(settings.data_dir)
        self.ledger = Ledger(settings.ledger_url)
        self._keeper = Keeper(self.archive, self.ledger)
        self._queue = QueueServer(settings) if settings.embedded_queue else None
        self._worker = WorkerProcess(write_effective(settings)) if embedded else None
        self._reception: Reception | None = None
        self._gate = Gate(settings.listener)
        self._assemble: Loop | None = None
        self._receivers = (
            Receivers(settings, self.ledger, self._gate, self._news)
            if processes_of(settings)
            else None
        )
        self._loops: list[Loop] = []
        self._expiry = ExpiryWatch(settings)
        self._postmen: list[Deliverer] = []
        self._page = _Page(settings, self.ledger, self.archive)
        self._attester = Attester(settings, self.ledger)

    def start(self) -> None:
        """Bring everything up; the port opens last, when all that it needs is there.

        Raises
        ------
        ConfigurationError
            When a port is taken, the database's schema is too old, or a part does not start.

        """
        self._prepare_ledger()
        self.archive.sweep()
        self.ledger.associations.close_lost()
        self._note("started")
        if self._receivers is not None:
            self._receivers.start()  # first: they need the longest
        if self._queue is not None:
            self._queue.start()
        try:
            self._page.start()
            self._start_stages()
        except BaseException:
            self.stop()
            raise

    def _prepare_ledger(self) -> None:
        """Embedded databases follow the program; a shared one is migrated by an administrator."""
        if self.settings.ledger_url.startswith("sqlite"):
            migrate(self.ledger.database)
        elif pending(self.ledger.database):
            raise ConfigurationError(
                "the database's schema is older than this version; run `dicom-node migrate`"
            )

    def _start_stages(self) -> None:
        settings, ledger = self.settings, self.ledger
        dispatch = Loop("dispatch", Dispatcher(settings, ledger).tick)
        assembler = Assembler(ledger, settings.completeness.rule(), dispatch.wake)
        assemble = Loop("assemble", assembler.tick, ASSEMBLE_REST_S)
        reception = self._reception = self._made_reception()
        self._assemble = assemble
        plan = Loop("plan", self._plan)
        housekeep = Loop("housekeep", self._housekeep)
        withdraw = Loop("withdraw", Withdrawer(settings.addressees, self.archive, ledger).tick)
        retain = Loop("retain", Retainer(settings.storage, self.archive, ledger).tick)
        verify = Loop("verify", Verifier(settings.storage, self.archive, ledger).tick)
        vouch = Loop("vouch", reception.voucher.tick)
        audit = Loop("audit", self._attester.tick)
        self._loops = [dispatch, assemble, plan, withdraw, housekeep, retain, verify, vouch, audit]
        ledger.destinations.know(frozenset(one.name for one in settings.addressees))
        for destination in settings.addressees:
            self._loops += self._post(destination)
        self._loops.append(Loop("callers", reception.callers.tick))
        if self._worker is not None:
            self._loops.append(Loop("worker", self._worker.tick))
        if self._queue is not None:
            self._loops.append(Loop("queue", self._queue.tick))
        self._keeper.start()
        self._loops.append(Loop("pull", Puller(settings, ledger, reception.receiver.begin).tick))
        for loop in self._loops:
            loop.start()
        reception.port.open(reception.handlers)

    def _made_reception(self) -> Reception:
        """Connections come in here; they are served here, or by processes made for that."""
        receivers = self._receivers
        return Reception(
            self.settings,
            self.archive,
            self.ledger,
            self._keeper,
            self._news,
            elsewhere=tuple if receivers is None else receivers.rows,
            gate=self._gate,
            hand=None if receivers is None else receivers.hand,
        )

    def _news(self) -> None:
        """An image has come, or a sender has gone."""
        if self._assemble is not None:
            self._assemble.wake()

    def _post(self, destination: Destination) -> list[Loop]:
        """The loops of one destination: each has its own, so that none waits for another."""
        name, calling_ae = destination.name, self.settings.listener.ae_title
        loops = []
        if destination.needs_commitment:
            confirmer = Confirmer([destination], calling_ae, self.ledger)
            loops.append(Loop(f"confirm {name}", confirmer.tick))
        if destination.needs_sight:
            seer = Seer(destination, calling_ae, self.archive, self.ledger)
            loops.append(Loop(f"see {name}", seer.tick))

        def delivered() -> None:
            self._wake(loops)

        postman = Deliverer(destination, calling_ae, self.archive, self.ledger, delivered)
        self._postmen.append(postman)
        return [*loops, Loop(f"deliver {name}", postman.tick)]

    def _plan(self) -> float:
        """Make deliveries of the results of jobs that have just ended."""
        plans = plans_of(self.settings)
        if self.ledger.deliveries.plan(plans):
            self._wake(loop for loop in self._loops if loop.name.startswith("deliver"))
        return PLAN_S

    def _housekeep(self) -> float:
        """Remove what aborted associations left in the spool; none is silent for that long."""
        swept = self.archive.sweep(older_than_s=2 * self.settings.listener.idle_s)
        if swept:
            self._log.warning("spool swept", count=swept)
        self.ledger.associations.prune()
        self._expiry.tick()
        late = self.ledger.clock.set_right(self.settings.worker.lease_s)
        if late:
            self._log.warning("the database's clock was set back", count=late)
        return HOUSEKEEP_S

    @staticmethod
    def _wake(loops: Iterable[Loop]) -> None:
        for loop in loops:
            loop.wake()

    def stop(self) -> None:
        """Take nothing new, finish what runs, end everything; what is left undone is kept."""
        self._log.info("stopping")
        if self._reception is not None:
            self._reception.port.close()
        if self._receivers is not None:
            self._receivers.stop()
        self._keeper.stop()
        for loop in self._loops:
            loop.stop()
        if self._worker is not None:
            self._worker.stop()
        for loop in self._loops:
            loop.join(STOP_S)
        for postman in self._postmen:
            postman.close()
        self._page.stop()
        if self._queue is not None:
            self._queue.stop()
        self._close_the_trail()
        self.ledger.close()
        self._lock.close()
        self._log.info("stopped")

    def _note(self, event: str) -> None:
        """Start and stop are part of the trail (PS3.15 A.5.3.1)."""
        title, owner = self.settings.listener.ae_title, owner_name(os.getpid())
        self.ledger.trail.note("node", title, event, owner)

    def _close_the_trail(self) -> None:
        try:
            self._note("stopped")
            self._attester.close()
        except LedgerError as error:
            self._log.error("stop not recorded", reason=str(error))


def plans_of(settings: Settings) -> list[Plan]:
    """Every destination as the ledger needs to know it."""
    return [
        Plan(
            name=destination.name,
            roles=destination.roles,
            needs_commitment=destination.needs_commitment,
            needs_sight=destination.needs_sight,
            profiles=destination.profiles,
            senders=destination.senders,
            titles=settings.listener.ae_titles,
        )
        for destination in settings.addressees
    ]


class _Page:
    """The status page in a thread of its own."""

    def __init__(self, settings: Settings, ledger: Ledger, archive: Archive) -> None:
        self._web = settings.web
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(settings, ledger, archive),
                host=self._web.host,
                port=self._web.port,
                log_level="error",
                access_log=False,
            )
        )
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def _run(self) -> None:
        try:
            self._server.run()
        except SystemExit:
            # uvicorn's way to say that the port is taken; ``start`` turns it into words.
            return

    def start(self) -> None:
        self._thread.start()
        wait_for(lambda: self._server.started or not self._thread.is_alive(), WEB_START_S)
        if not self._server.started:
            raise ConfigurationError(
                f"web.port {self._web.port} on {self._web.host} cannot be opened; "
                "stop the other program there or choose another port"
            )

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S)
