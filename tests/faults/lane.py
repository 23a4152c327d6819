"""Some runs one after the other on one site; prints a JSON line for each.

``python -m tests.faults.lane KIND FOLDER SEED…``, started by ``python -m tests.faults``.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.faults.runs import Plan, Result, Run, make_calm
from tests.faults.site import Site


def carry_out(site: Site, plans: Sequence[Plan], tell: Callable[[Result], None]) -> None:
    """The plans one after the other on a site that runs; a run that breaks down is a breach."""
    hashes: dict[str, str | None] = {}
    for plan in plans:
        run = Run(site, plan)
        try:
            run.carry_out(hashes)
        except Exception as error:  # noqa: BLE001 - one run's end must not hide the others'
            run.result.breaches.append(f"run: {type(error).__name__}: {error}")
        make_calm(site)
        site.end_others()
        tell(run.result)
        if run.result.breaches:
            # The site's disk goes with the site.
            shutil.copytree(site.data, site.folder / "evidence", dirs_exist_ok=True)
            return  # what comes after would be found again and again


def main(arguments: Sequence[str]) -> int:
    from tests.faults.runs import plan

    kind, folder, options, *seeds = arguments
    chosen = json.loads(options)
    site = Site(Path(folder), kind)

    def tell(result: Result) -> None:
        row = {**vars(result), "strikes": [vars(strike) for strike in result.strikes]}
        print(json.dumps(row), flush=True)  # noqa: T201 - the driver reads it

    try:
        site.start()
        carry_out(site, [plan(int(seed), **chosen) for seed in seeds], tell)
        wrong = site.stop()
        if wrong:
            print(json.dumps({"stop": wrong}), flush=True)  # noqa: T201
    finally:
        with suppress(Exception):
            site.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
