"""Writers that take turns: each alone, none for ever, across threads, processes and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dicom_node.store.turn import Turn
from tests.peers import wait_until

_HOLD = """
import sys
from pathlib import Path
from dicom_node.store.turn import Turn
with Turn(Path(sys.argv[1])).taken():
    print("held", flush=True)
    sys.stdin.read()
"""
_COUNT = """
import sys
from pathlib import Path
from dicom_node.store.turn import Turn
turn, counter = Turn(Path(sys.argv[1]), patience_s=60), Path(sys.argv[2])
for _ in range(int(sys.argv[3])):
    with turn.taken():
        counter.write_text(str(int(counter.read_text()) + 1))
"""


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process whose turn it is until its standard input ends."""
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db-turn"


def test_processes_and_threads_are_alone_in_their_turn(path: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    turn = Turn(path, patience_s=60)

    def count() -> None:
        for _ in range(50):
            with turn.taken():
                counter.write_text(str(int(counter.read_text()) + 1))

    command = [sys.executable, "-c", _COUNT, str(path), str(counter), "100"]
    others = [subprocess.Popen(command) for _ in range(2)]
    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    assert counter.read_text() == str(3 * 50 + 2 * 100)


def test_whoever_waits_has_the_turn_when_it_ends_elsewhere(path: Path) -> None:
    entered = threading.Event()

    def wait() -> None:
        with Turn(path, patience_s=60).taken():
            entered.set()

    with held_elsewhere(path) as process:
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.3)
        process.send_signal(signal.SIGKILL)
        thread.join()
    assert entered.is_set()


def test_a_process_stopped_in_its_turn_holds_nobody_up(path: Path) -> None:
    turn = Turn(path, patience_s=0.1)
    with held_elsewhere(path) as process:
        process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            with turn.taken():
                pass
        process.send_signal(signal.SIGCONT)
    # The lock that came too late was given back.
    _alone(path)


def test_a_thread_that_keeps_its_turn_holds_nobody_up(path: Path) -> None:
    turn = Turn(path, patience_s=0.1)
    entered = threading.Event()

    def wait() -> None:
        with turn.taken():
            entered.set()

    with turn.taken():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert entered.is_set()
    _alone(path)


def test_a_fork_queues_for_itself(path: Path) -> None:
    turn = Turn(path, patience_s=0.2)
    with turn.taken():
        child = os.fork()
        if not child:  # pragma: no cover - in a process of its own
            begin = time.monotonic()
            with turn.taken():
                os._exit(0 if time.monotonic() - begin >= 0.2 else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "it had the turn of its parent"
    _alone(path)


def test_without_a_file_nobody_waits(path: Path) -> None:
    turn = Turn(path.parent / "no folder" / "turn")
    with turn.taken():
        pass
    turn.close()


def test_a_turn_that_is_closed_in_its_middle_spoils_nothing(path: Path) -> None:
    turn = Turn(path)
    with turn.taken():
        turn.close()
    with turn.taken():
        pass
    turn.close()
    _alone(path)


def test_closing_gives_files_and_threads_back(path: Path) -> None:
    before = threading.active_count()
    turn = Turn(path, patience_s=0.1)
    with held_elsewhere(path), turn.taken():
        pass
    turn.close()
    turn.close()
    wait_until(lambda: threading.active_count() == before, "the thread to end")
    assert path not in set(_open_files())


def _alone(path: Path) -> None:
    """Nobody has the turn any more: another process gets it at once."""
    with held_elsewhere(path):
        pass


def _open_files() -> Iterator[Path]:
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # of the look itself
            yield file.readlink()
