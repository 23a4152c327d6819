"""Objects over TLS: records come out whole, however they fall."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.authority import Authority
from tests.integration.door import MakeDoor
from tests.integration.tls_door import secure_door
from tests.mammogram_headers import mammogram
from tests.peers import wait_until
from tests.raw_sender import ASSOCIATE_AC, Caller, encoded


def test_an_object_arrives_whole_however_its_records_fall(
    make_door: MakeDoor, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    node = authority.issue("node", "localhost")
    door = secure_door(make_door, authority, node, clients="optional")
    ds = mammogram(shape=(512, 600))
    content = encoded(ds)
    context = ssl.create_default_context(cafile=authority.file)
    with Caller(door.hospital.settings.tls.port) as caller:
        caller.sock = context.wrap_socket(caller.sock, server_hostname="localhost")
        assert caller.associate() == ASSOCIATE_AC
        assert caller.store(str(ds.SOPInstanceUID), [content]).status == 0
        caller.release()
    row = door.row()
    assert (row["objects"], row["ending"]) == (1, "released")
    (file,) = wait_until(lambda: list(door.hospital.archive.objects.glob("*/*")), "the file")
    assert file.read_bytes().endswith(content)
