"""What a destination takes of all that we could send it, and the profile that follows from it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydicom import uid

from dicom_node.domain.outputs import Output, SrClass

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"  # Storage Commitment Push Model
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve, FIND
SR_CLASSES: dict[SrClass, str] = {
    SrClass.COMPREHENSIVE_3D: str(uid.Comprehensive3DSRStorage),
    SrClass.COMPREHENSIVE: str(uid.ComprehensiveSRStorage),
}
CLASSES: dict[Output, str] = {
    Output.SEG: str(uid.SegmentationStorage),
    Output.LABELMAP: "1.2.840.10008.5.1.4.1.1.66.7",  # newer than pydicom's own list
    Output.CAD_SR: str(uid.MammographyCADSRStorage),
    Output.GSPS: str(uid.GrayscaleSoftcopyPresentationStateStorage),
    Output.SC: str(uid.SecondaryCaptureImageStorage),
    Output.KEY_OBJECTS: str(uid.KeyObjectSelectionDocumentStorage),
}
# Everything that a probe asks about: what people call it, and its SOP class.
OFFERS: tuple[tuple[str, str], ...] = (
    ("Segmentation", CLASSES[Output.SEG]),
    ("Label Map Segmentation", CLASSES[Output.LABELMAP]),
    ("Comprehensive 3D SR", SR_CLASSES[SrClass.COMPREHENSIVE_3D]),
    ("Comprehensive SR", SR_CLASSES[SrClass.COMPREHENSIVE]),
    ("Mammography CAD SR", CLASSES[Output.CAD_SR]),
    ("Grayscale Presentation State", CLASSES[Output.GSPS]),
    ("Secondary Capture", CLASSES[Output.SC]),
    ("Key Object Selection", CLASSES[Output.KEY_OBJECTS]),
    ("Storage Commitment", COMMITMENT),
    ("Study Root C-FIND", STUDY_FIND),
    ("Verification", VERIFICATION),
)
# Result of a presentation context (PS3.8 Table 9-18), 0 is acceptance.
_REASONS = {
    1: "refused, no reason given",
    2: "refused by the peer's software, no reason given",
    3: "does not know this class",
    4: "knows this class, but none of our transfer syntaxes",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the peer said to one class; ``syntaxes`` are the names of those that it takes."""

    name: str
    sop_class: str
    syntaxes: tuple[str, ...]
    reason: str

    @property
    def accepted(self) -> bool:
        """Whether it takes the class at all."""
        return bool(self.syntaxes)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a destination is given and asked, in the words of ``[[destinations]]``."""

    outputs: tuple[Output, ...]
    sr_class: SrClass = SrClass.COMPREHENSIVE_3D
    commitment: bool = False
    queries: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines for node.toml; defaults are left out but for ``outputs``."""
        names = ", ".join(f'"{output.value}"' for output in self.outputs)
        older = self.sr_class is SrClass.COMPREHENSIVE
        return (
            *([f"outputs = [{names}]"] if self.outputs else []),
            *(['sr_class = "comprehensive"'] if older else []),
            *(['confirm = "commitment"'] if self.commitment else []),
        )


def refusal_words(result: int | None) -> str:
    """Why a presentation context was refused.

    >>> refusal_words(3)
    'does not know this class'
    """
    return _REASONS.get(-1 if result is None else result, "refused")


def class_words(sop_class: str) -> str:
    """A SOP class as the standard calls it, also one that is newer than our list of them.

    >>> class_words("1.2.840.10008.5.1.4.1.1.66.4"), class_words("1.2.840.10008.5.1.4.1.1.66.7")
    ('Segmentation Storage', 'Label Map Segmentation Storage')
    """
    ours = {number: f"{name} Storage" for name, number in OFFERS}
    name = uid.UID(sop_class).name
    return ours.get(sop_class, name) if name == sop_class else name


def proposal(taken: Collection[str]) -> Profile:
    """The profile for a peer that takes these SOP classes.

    The label map is proposed only where the Segmentation is not taken: few viewers show it.

    >>> proposal([CLASSES[Output.SC], SR_CLASSES[SrClass.COMPREHENSIVE]]).lines
    ('outputs = ["sr", "sc"]', 'sr_class = "comprehensive"')
    """
    newer, older = (SR_CLASSES[one] in taken for one in SrClass)
    wanted: list[Output] = [
        output
        for output in Output
        if output is not Output.LABELMAP
        and (newer or older if output is Output.SR else CLASSES[output] in taken)
    ]
    if Output.SEG not in wanted and CLASSES[Output.LABELMAP] in taken:
        wanted.insert(0, Output.LABELMAP)
    return Profile(
        outputs=tuple(wanted),
        sr_class=SrClass.COMPREHENSIVE if older and not newer else SrClass.COMPREHENSIVE_3D,
        commitment=COMMITMENT in taken,
    )


def not_taken(profile: Profile, taken: Collection[str]) -> tuple[str, ...]:
    """What the profile asks for and the peer does not take, by the names of ``OFFERS``.

    >>> not_taken(Profile(outputs=(Output.SEG, Output.SC), commitment=True), [CLASSES[Output.SC]])
    ('Segmentation', 'Storage Commitment')
    """
    asked = {
        SR_CLASSES[profile.sr_class] if output is Output.SR else CLASSES[output]
        for output in profile.outputs
    }
    asked |= {COMMITMENT} if profile.commitment else set()
    asked |= {STUDY_FIND} if profile.queries else set()
    return tuple(name for name, sop_class in OFFERS if sop_class in asked - set(taken))
