"""What forked commands need, imported once; only the process that forks them imports this."""

from __future__ import annotations

import os
from importlib import import_module

os.environ["COLUMNS"] = "240"  # a console is as wide as this says when it is made
for name in (
    "dicom_node.__main__",
    "torch",
    "worker.__main__",
    "worker.offline",
    "worker.training.convert",
    "worker.training.evaluate",
    "worker.training.phantom.write",
):
    import_module(name)
