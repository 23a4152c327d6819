"""How many received objects a second are kept: header read, file and row durable.

    python tests/benchmarks/keeping.py [--seconds S] [--rounds N] [--folder F] [--url U]

Objects of 512 KiB, written to the spool and hashed before the clock of an object starts, by 1, 4,
16 threads that stand for associations. Prints medians of the rounds, and the processor's
milliseconds for one object. The folder must be on the disk that counts; ``--url`` is the ledger's,
SQLite in the folder unless it is given.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.domain.header import InputRule
from dicom_node.domain.identifiers import derive_uid
from dicom_node.scan import scan
from dicom_node.store.archive import Archive
from dicom_node.store.intake import Received
from dicom_node.store.keeping import Keeper
from dicom_node.store.ledger import Ledger
from dicom_node.store.migrate import migrate
from tests.mammogram_headers import header

SIDE = 512  # 512 x 512 pixels of two bytes
PRIVATE = 150  # a vendor's own elements: real headers hold some hundreds


def template() -> tuple[bytes, str]:
    """An image as a file, and the UID in it that each copy has its own of."""
    ds = header(shape=(SIDE, SIDE), Rows=SIDE, Columns=SIDE)
    block = ds.private_block(0x0099, "BENCHMARK", create=True)
    for number in range(PRIVATE):
        block.add_new(number, "LO", f"value {number}")
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.add_new("PixelData", "OW", bytes(SIDE * SIDE * 2))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    Dataset.save_as(ds, stream, enforce_file_format=True)
    return stream.getvalue(), str(ds.SOPInstanceUID)


class Bench:
    """Threads that keep one object after the other for a while."""

    def __init__(self, folder: Path, url: str) -> None:
        self._archive = Archive(folder)
        self._ledger = Ledger(url or f"sqlite:///{folder / 'ledger.db'}")
        migrate(self._ledger.database)
        self._keeper = Keeper(self._archive, self._ledger)
        self._keeper.start()
        self._content, uid = template()
        self._uid = uid.encode()
        self._serial = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        self._keeper.stop()
        self._ledger.close()

    def _spooled(self) -> tuple[Path, str]:
        with self._lock:
            self._serial += 1
            uid = derive_uid("benchmark", str(self._serial)).encode()
        content = self._content.replace(self._uid, uid.ljust(len(self._uid), b"\0"))
        part = self._archive.new_part()
        part.write_bytes(content)
        return part, hashlib.sha256(content).hexdigest()

    def _work(self, end: float, found: list[float]) -> None:
        while time.monotonic() < end:
            part, sha256 = self._spooled()
            start = time.monotonic()
            read = scan(part, ExplicitVRLittleEndian, InputRule())
            received = Received(
                header=read, sha256=sha256, size=part.stat().st_size, association_id=None,
                calling_ae="MODALITY",
            )  # fmt: skip
            self._keeper.keep(part, received)
            found.append(time.monotonic() - start)

    def run(self, threads: int, seconds: float) -> tuple[float, float, float, float]:
        """Objects a second; median and 99th percentile in ms; processor ms for one object."""
        found: list[float] = []
        start, cpu = time.monotonic(), time.process_time()
        crew = [
            threading.Thread(target=self._work, args=(start + seconds, found))
            for _ in range(threads)
        ]
        for one in crew:
            one.start()
        for one in crew:
            one.join()
        spent, cpu = time.monotonic() - start, time.process_time() - cpu
        found.sort()
        p99 = found[len(found) * 99 // 100]
        return (
            len(found) / spent,
            statistics.median(found) * 1e3,
            p99 * 1e3,
            cpu * 1e3 / len(found),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--url", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        bench = Bench(Path(folder), given.url)
        print("threads  objects/s  p50 ms  p99 ms  CPU ms/object")  # noqa: T201
        for threads in (1, 4, 16):
            rounds = [bench.run(threads, given.seconds) for _ in range(given.rounds)]
            rate, p50, p99, cpu = (
                statistics.median(column) for column in zip(*rounds, strict=True)
            )
            print(f"{threads:7}  {rate:9.0f}  {p50:6.1f}  {p99:6.1f}  {cpu:13.2f}")  # noqa: T201
        bench.close()


if __name__ == "__main__":
    main()
