"""One target under a coverage-guided fuzzer, in a process of its own with bounded memory.

``python -m tests.fuzz.guided TARGET FOLDER SECONDS SEED``: the folder gets the inputs that reached
something new (``corpus/``) and the one that broke it (``finding-*``).
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from pathlib import Path

import atheris

MOST_MEMORY_MB = 512  # resident; libFuzzer looks every second
MOST_ADDRESSES = 2 << 30  # bytes mapped, of which code and counters are most
MOST_S = 2.0  # CPU seconds for one input
HUNG_S = 30  # by the clock, for one that never comes back

with atheris.instrument_imports(include=["dicom_node", "pydicom", "pynetdicom"]):
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the time is over or something breaks; the exit status says which."""
    name, folder, seconds, seed = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(data)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    warnings.simplefilter("ignore")  # pydicom's; tracebacks of its log are of no use either
    target = TARGETS[name]

    def timed(data: bytes) -> None:
        begin = time.process_time()
        target(data)
        spent = time.process_time() - begin
        assert spent <= MOST_S, f"{spent:.1f} s of CPU for {len(data)} bytes"

    options = [
        f"-max_total_time={seconds}", f"-seed={seed}", f"-rss_limit_mb={MOST_MEMORY_MB}",
        f"-timeout={HUNG_S}", "-max_len=8192", "-print_final_stats=1",
        f"-artifact_prefix={folder}/finding-", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], timed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
