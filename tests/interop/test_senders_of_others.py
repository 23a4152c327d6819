"""Senders of others store what they offer into the node, plain and over TLS: kept as sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from tests.authority import Authority
from tests.compressed import recode
from tests.interop.senders import SENDERS, Sender, Target
from tests.mammogram_headers import header
from tests.peers import RunningNode, free_port, running_node

TOML = """
[listener]
port = {port}
[tls]
port = {tls_port}
certificate_file = "{certificate}"
key_file = "{key}"
ca_file = "{ca}"
[web]
port = {http_port}
[storage]
data_dir = "{data}"
free_min_gb = 0
"""
SHAPE = (96, 80)
_number = count()


@dataclass
class Site:
    """A node with both ports, and the authority that its modality's certificate is of."""

    node: RunningNode
    plain: int
    secure: int
    authority: Authority

    def target(self, folder: Path, *, secure: bool) -> Target:
        if not secure:
            return Target(self.plain, folder, self.authority)
        modality = self.authority.issue("modality", "modality.clinic.example")
        return Target(self.secure, folder, self.authority, modality)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder / "authority")
    own = authority.issue("node", "localhost")
    port, tls_port, http_port = free_port(), free_port(), free_port()
    toml = TOML.format(
        port=port, tls_port=tls_port, http_port=http_port, data=folder / "data",
        certificate=own.certificate, key=own.key, ca=authority.file,
    )  # fmt: skip
    with running_node(folder, toml, port, http_port, command="serve") as node:
        yield Site(node, port, tls_port, authority)


def image(folder: Path, syntax: UID) -> Path:
    """A small mammogram with noise in it, in this syntax."""
    study = f"interop {next(_number)}"
    ds = header(study=study, shape=SHAPE, SamplesPerPixel=1, PixelRepresentation=0)
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelData = np.random.default_rng(5).integers(0, 65536, SHAPE, np.uint16).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    plain, coded = folder / f"{study}.dcm", folder / f"{study} coded.dcm"
    dcmwrite(plain, ds, enforce_file_format=True)
    if syntax == ExplicitVRLittleEndian:
        return plain
    recode(plain, coded, syntax)
    return coded


def without_lengths(file: Path) -> Dataset:
    """A data set to compare: group lengths are the writer's affair."""
    ds = dcmread(file)
    for tag in [element.tag for element in ds if element.tag.element == 0]:
        del ds[tag]
    return ds


CASES = [
    pytest.param(
        sender, secure, id=f"{sender.name}-{'tls' if secure else 'plain'}",
        marks=[pytest.mark.slow, *(getattr(pytest.mark, mark) for mark in sender.marks)],
    )
    for sender in SENDERS
    for secure in (False, True)
]  # fmt: skip


@pytest.mark.parametrize(("sender", "secure"), CASES)
def test_what_a_sender_stores_is_kept_as_it_was_sent(
    site: Site, tmp_path: Path, sender: Sender, *, secure: bool
) -> None:
    files = {syntax: image(tmp_path, syntax) for syntax in sender.syntaxes}
    sender.store(site.target(tmp_path, secure=secure), files)
    for syntax, file in files.items():
        sent = dcmread(file)
        sheet = site.node.sheet(str(sent.StudyInstanceUID))
        assert sheet is not None, syntax.name
        (row,) = sheet.instances
        assert row["sop_instance_uid"] == sent.SOPInstanceUID
        assert row["header"].transfer_syntax_uid == syntax
        site.node.archive.read(row["sha256"])  # its name is its hash
        kept = site.node.archive.path(row["sha256"])
        assert dcmread(kept).PixelData == sent.PixelData, syntax.name
        assert without_lengths(kept) == without_lengths(file), syntax.name
    visit = site.node.ledger.associations.newest(1)[0]
    assert (visit["calling_ae"], bool(visit["tls"])) == ("MODALITY", secure)
