"""A modality at the door: images, whole or damaged, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.assemble import Assembler
from dicom_node.domain.study import CompletenessRule
from dicom_node.store import tables as t
from tests.headers import image_ds, uid
from tests.integration.databases import let_pass
from tests.integration.door import Door
from tests.integration.ledger_acts import rows, study_row
from tests.raw_sender import MG, Answer, Caller, c_store_rq, encoded, pdv

RECOMBINED = r"DERIVED\PRIMARY\POST_CONTRAST\SUBTRACTION"
NAME = "CANARY^NAME"


def mammogram(name: str = "first", **values: Any) -> Dataset:
    """A low-energy image of 600 x 520 pixels."""
    given = {
        "SOPInstanceUID": uid(name), "PatientName": NAME, "Rows": 600, "Columns": 520,
        "BitsAllocated": 16, "HighBit": 11, "PixelRepresentation": 0,
        "FrameOfReferenceUID": uid("frame"),
    }  # fmt: skip
    ds = image_ds(**given | values)
    ds.add_new("PixelData", "OW", bytes(600 * 520 * 2))
    return ds


@dataclass
class Sender:
    """A modality at the door."""

    door: Door

    def send(self, ds: Dataset | bytes, name: str = "first", **words: Any) -> Answer:
        """One association, one object, the answer to it."""
        content = ds if isinstance(ds, bytes) else encoded(ds)
        with Caller(self.door.settings.port) as caller:
            assert caller.associate(**words) == 2
            answer = caller.store(uid(name), [content])
            if answer.status != 0xFFFF:
                caller.release()
        assert "CANARY" not in answer.comment
        return answer

    def cut(self, ds: Dataset, parts: int) -> None:
        """Send some of an object's fragments, all of them where ``parts`` is -1, and hang up."""
        with Caller(self.door.settings.port) as caller:
            assert caller.associate() == 2
            caller.sock.sendall(pdv(c_store_rq(MG, str(ds.SOPInstanceUID)), command=True))
            fragments = list(caller._fragments([encoded(ds)]))
            for fragment in fragments if parts < 0 else fragments[: 2 * parts]:
                caller.sock.sendall(fragment)

    def instances(self) -> list[Any]:
        return rows(self.door.hospital.ledger, select(t.instances).order_by(t.instances.c.id))

    def nothing_kept(self) -> bool:
        archive = self.door.hospital.archive
        objects = [path for path in archive.objects.rglob("*") if path.is_file()]
        return not objects and not self.instances() and not list(archive.spool.iterdir())

    def judged(self) -> Any:
        """The study once its time has passed."""
        hospital = self.door.hospital
        let_pass(hospital.ledger.database, 1000)
        Assembler(hospital.ledger, CompletenessRule(), lambda: None).tick()
        return study_row(hospital.ledger)
