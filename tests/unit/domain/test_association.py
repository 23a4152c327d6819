"""What the association doctor says of each kind of visit."""

from __future__ import annotations

import pytest
from pydicom.uid import (
    JPEG2000,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dicom_node.domain.association import (
    Contexts,
    End,
    Ending,
    House,
    Refusal,
    Tally,
    Visit,
    diagnose,
)

MG = str(DigitalMammographyXRayImageStorageForPresentation)
ECHO = "1.2.840.10008.1.1"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
HOUSE = House(titles=("FAPS", "FAPS_TEST"), idle_s=60.0)
PLAIN = str(ExplicitVRLittleEndian)
TAKEN = Contexts(classes=(MG,), syntaxes=(PLAIN,), result=0, accepted=PLAIN)
LOSSY = Contexts(classes=(MG,), syntaxes=(str(JPEGBaseline8Bit), str(JPEG2000)), result=4)


def visit(*contexts: Contexts) -> Visit:
    return Visit(called_ae="FAPS2", calling_ae="GE1", address="10.0.3.7", contexts=contexts)


def rejected(refusal: Refusal, complaint: str = "") -> End:
    return End(ending=Ending.REJECTED, refusal=refusal, complaint=complaint)


CASES = {
    "wrong title": (
        visit(), rejected(Refusal.CALLED_AE), "called_ae",
        ("It calls FAPS2", "FAPS or FAPS_TEST", "listener.ae_title"),
    ),
    "too many": (
        visit(), rejected(Refusal.TOO_MANY, "32 associations were open (listener.max)"),
        "too_many", ("32 associations were open (listener.max). The sender tries again later",),
    ),
    "closed at once": (
        visit(), rejected(Refusal.CLOSED, "No association was requested within 10 s (acse_s)"),
        "closed", ("within 10 s (acse_s). The connection was closed",),
    ),
    "over a limit": (
        visit(TAKEN), End(ending=Ending.LIMIT, objects=2, complaint="Larger than 5 MiB (max)"),
        "limit", ("Larger than 5 MiB (max). The node ended", "after 2 objects", "set it higher"),
    ),
    "nonsense": (
        visit(TAKEN), End(ending=Ending.BREACH, objects=1, complaint="Two requests at once"),
        "breach", ("Two requests at once. The node ended", "the sender's fault"),
    ),
    "a stranger": (
        visit(), rejected(Refusal.CALLER, "GE1 is not on the list of peers"), "caller",
        ("GE1 is not on the list", "dicom-node peers add GE1@10.0.3.7"),
    ),
    "lossy only": (
        visit(LOSSY), End(ending=Ending.RELEASED), "no_context",
        ("No common transfer syntax for Digital Mammography", "JPEG Baseline", "Explicit VR"),
    ),
    "lossy beside an echo": (
        visit(LOSSY, Contexts(classes=(ECHO,), syntaxes=(PLAIN,), result=0, accepted=PLAIN)),
        End(ending=Ending.RELEASED), "no_syntax", ("No common transfer syntax",),
    ),
    "another class": (
        visit(Contexts(classes=(RT_PLAN,), syntaxes=(PLAIN,), result=3)),
        End(ending=Ending.ABORTED), "no_context", ("RT Plan Storage", "services"),
    ),
    "idle": (
        visit(TAKEN), End(ending=Ending.IDLE, objects=4), "idle",
        ("Silent for 60 s after 4 objects", "listener.idle_s"),
    ),
    "aborted": (
        visit(TAKEN), End(ending=Ending.ABORTED, objects=1), "aborted",
        ("aborted after 1 object:",),
    ),
    "lost": (visit(TAKEN), End(ending=Ending.LOST), "lost", ("broke after 0 objects",)),
    "refused": (
        visit(TAKEN), End(ending=Ending.RELEASED, refused=2, complaint="A700 disk"),
        "objects_refused", ("2 objects answered with a failure, the last: A700 disk",),
    ),
    "nothing sent": (
        visit(TAKEN), End(ending=Ending.RELEASED), "nothing_sent", ("sent none",),
    ),
    "stopped": (
        visit(TAKEN), End(ending=Ending.ENDED_HERE, objects=2), "ended_here", ("send the rest",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_trouble_has_a_code_and_words_that_say_what_to_do(name: str) -> None:
    who, end, code, words = CASES[name]
    diagnosis = diagnose(who, end, HOUSE)
    assert diagnosis.code == code
    assert [part for part in words if part not in diagnosis.advice] == []


@pytest.mark.parametrize(
    "contexts",
    [
        (TAKEN,),
        (TAKEN, LOSSY),  # the same class in another syntax: the sender had a choice
        (TAKEN, Contexts(classes=(RT_PLAN,), syntaxes=(PLAIN,), result=3)),
    ],
    ids=["plain", "a choice of syntaxes", "a mixed push"],
)
def test_a_visit_that_brought_images_needs_no_advice(contexts: tuple[Contexts, ...]) -> None:
    assert diagnose(visit(*contexts), End(ending=Ending.RELEASED, objects=8), HOUSE).code == ""


def test_an_echo_needs_no_advice() -> None:
    echo = Contexts(classes=(ECHO,), syntaxes=(PLAIN,), result=0, accepted=PLAIN)
    assert diagnose(visit(echo), End(ending=Ending.RELEASED), HOUSE).advice == ""


def test_a_tally_remembers_the_last_refusal() -> None:
    tally = Tally(objects=3, bytes=30)
    tally.refuse(0xC000, "first")
    tally.refuse(0xA700, "second")
    end = tally.end(Ending.RELEASED)
    assert (end.objects, end.size, end.refused, end.complaint) == (3, 30, 2, "A700 second")
