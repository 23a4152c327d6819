"""A PostgreSQL server that can be stopped without warning."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.integration.databases import SUPERUSER, postgres_programs

NAME = "faults"


class Server:
    """A PostgreSQL server without TCP, reached through a socket in a folder of its own."""

    def __init__(self, log_folder: Path) -> None:
        programs = postgres_programs()
        if programs is None:
            raise RuntimeError("initdb is missing; install Debian's package postgresql")
        self._programs = programs
        self._log = log_folder / "postgres.log"
        # Short and open to the server's user: a test's own folders are neither.
        self._folder = Path(tempfile.mkdtemp(prefix="faults-pg-"))
        shutil.chown(self._folder, SUPERUSER)
        self._run("initdb", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {NAME}")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{SUPERUSER}@/{NAME}?host={self._folder}"

    def start(self) -> None:
        """Start it unless it runs: of two faults each may end by this."""
        if (self._folder / "data" / "postmaster.pid").exists():
            return
        # A kill is no power cut: what was written stays without fsync, and runs are faster.
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off"
        self._run("pg_ctl", "-l", str(self._folder / "log"), "-w", "-o", options, "start")

    def stop_at_once(self) -> None:
        """Stop as a crash does: no checkpoint, every connection cut."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop", check=False)

    def cut_connections(self) -> None:
        """Kill every other connection."""
        with (
            suppress(psycopg.OperationalError),  # another fault may have stopped it
            psycopg.connect(self._dsn(NAME), autocommit=True) as connection,
        ):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid()",
                (NAME,),
            )

    def close(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "-w", "stop", check=False)
        shutil.copy(self._folder / "log", self._log)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _dsn(self, name: str) -> str:
        return f"host={self._folder} user={SUPERUSER} dbname={name}"

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        subprocess.run(
            [self._programs / program, "-D", str(self._folder / "data"), *arguments],
            check=check, user=SUPERUSER, cwd=self._folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
