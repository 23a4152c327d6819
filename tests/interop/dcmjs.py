"""dcmjs-dimse as a sender: installed from npm into a cache, driven by a few lines of JavaScript."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.authority import Authority, Identity
from tests.peers import lacking, need

PINNED = "dcmjs-dimse@0.3.3"  # MIT; for the tests alone
INSTALL_S = 240
SCRIPT = """
const fs = require('fs');
const dimse = require('dcmjs-dimse');
const order = JSON.parse(process.argv[2]);
dimse.log.level = 'error';
const client = new dimse.Client();
let stored = 0;
for (const file of order.files) {
  const request = new dimse.requests.CStoreRequest(file);
  request.on('response', (r) => {
    if (r.getStatus() === dimse.constants.Status.Success) { stored += 1; }
    else { console.error('status', r.getStatus()); }
  });
  client.addRequest(request);
}
client.on('associationRejected', (r) => { console.error('rejected', String(r)); });
client.on('networkError', (e) => { console.error('network', String(e)); });
client.on('closed', () => { process.exitCode = stored === order.files.length ? 0 : 1; });
const options = {};
if (order.key) {
  options.securityOptions = {
    key: fs.readFileSync(order.key), cert: fs.readFileSync(order.cert),
    ca: fs.readFileSync(order.ca), servername: 'localhost', rejectUnauthorized: true,
    minVersion: 'TLSv1.2', requestCert: true,
  };
}
client.send('localhost', order.port, order.title, 'FAPS', options);
"""


def store_with_dcmjs(
    port: int,
    title: str,
    files: Sequence[Path],
    own: Identity | None,
    authority: Authority,
    folder: Path,
) -> None:
    """Store files as they are; anything but success for each of them is a failure."""
    import json

    order: dict[str, object] = {"port": port, "title": title, "files": list(map(str, files))}
    if own is not None:
        order |= {"key": str(own.key), "cert": str(own.certificate), "ca": str(authority.file)}
    script = folder / "store.js"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [need("node", "nodejs"), str(script), json.dumps(order)],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "NODE_PATH": str(modules())},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def modules() -> Path:
    """Where the package and what it needs are; fetched once, its install scripts never run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "faps-node-tests"
    home = cache / PINNED.replace("@", "-")
    if not (home / "done").exists():
        home.mkdir(parents=True, exist_ok=True)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        command = [need("npm", "npm"), "install", *quiet, PINNED]
        try:
            done = subprocess.run(
                command, cwd=home, capture_output=True, text=True, timeout=INSTALL_S, check=False
            )
        except subprocess.TimeoutExpired:
            lacking(f"npm did not fetch {PINNED} in {INSTALL_S} s")
        if done.returncode:
            lacking(f"npm cannot fetch {PINNED}: {done.stderr.strip()[-200:]}")
        (home / "done").touch()
    return home / "node_modules"
