"""Which result objects a destination gets: the names in the settings, the roles behind them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence


class Output(enum.Enum):
    """One kind of result object, as ``[[destinations]] outputs`` names it."""

    SEG = "seg"  # BINARY Segmentation, one for each view with a lesion
    LABELMAP = "labelmap"  # Label Map Segmentation of the same: few peers take it yet
    SR = "sr"  # TID 1500 report
    CAD_SR = "cad_sr"  # Mammography CAD SR (TID 4000), for mammography workstations
    GSPS = "gsps"  # presentation state with the outlines, for each view
    SC = "sc"  # colour Secondary Capture with outline and heat map, for each view
    KEY_OBJECTS = "key_objects"  # Key Object Selection of the views with a lesion


class SrClass(enum.Enum):
    """SOP class of the TID 1500 report (IHE AIR asks for the first; old PACS know the second)."""

    COMPREHENSIVE_3D = "comprehensive_3d"
    COMPREHENSIVE = "comprehensive"


class SrPer(enum.Enum):
    """One report for the exam, or for each image: OHIF draws the first image's regions alone."""

    EXAM = "exam"
    IMAGE = "image"


# What any viewer or archive takes well. The CAD report is for those who have a mammography
# workstation: others list it as one more report, which they cannot open.
DEFAULT_OUTPUTS = (Output.SEG, Output.SR, Output.GSPS, Output.SC, Output.KEY_OBJECTS)
# Roles of artefacts in the ledger; every worker makes all of them, the destination takes its own.
SR_ROLES = {
    (SrClass.COMPREHENSIVE_3D, SrPer.EXAM): "sr",
    (SrClass.COMPREHENSIVE_3D, SrPer.IMAGE): "sr_image",
    (SrClass.COMPREHENSIVE, SrPer.EXAM): "sr_2d",
    (SrClass.COMPREHENSIVE, SrPer.IMAGE): "sr_image_2d",
}

# What takes the place of an object whose class a destination refuses, so that a reader still sees
# the finding. No circle: what has no row here (and the older report) is refused for good.
FALLBACKS: dict[Output, tuple[Output, ...]] = {
    Output.SEG: (Output.SC, Output.SR),
    Output.LABELMAP: (Output.SEG,),
    Output.GSPS: (Output.SC,),
    Output.SC: (Output.SR,),
    Output.CAD_SR: (Output.SR,),
    Output.KEY_OBJECTS: (Output.SR,),
}


def roles_of(outputs: Iterable[Output], sr_class: SrClass, sr_per: SrPer) -> tuple[str, ...]:
    """Roles of the artefacts that a destination with this profile gets.

    >>> roles_of([Output.SEG, Output.SR], SrClass.COMPREHENSIVE, SrPer.IMAGE)
    ('seg', 'sr_image_2d')
    """
    return tuple(
        SR_ROLES[sr_class, sr_per] if output is Output.SR else output.value for output in outputs
    )


def fallbacks_of(role: str, sr_class: SrClass, sr_per: SrPer) -> tuple[str, ...]:
    """Roles that go to a destination with this report in place of a role that it refuses.

    >>> fallbacks_of("seg", SrClass.COMPREHENSIVE_3D, SrPer.EXAM)
    ('sc', 'sr')
    >>> fallbacks_of("sr", SrClass.COMPREHENSIVE_3D, SrPer.EXAM)
    ('sr_2d',)
    """
    for per in SrPer:
        if role == SR_ROLES[SrClass.COMPREHENSIVE_3D, per]:
            return (SR_ROLES[SrClass.COMPREHENSIVE, per],)
    instead = next((FALLBACKS[one] for one in FALLBACKS if one.value == role), ())
    return roles_of(instead, sr_class, sr_per)


def in_words(roles: Sequence[str]) -> str:
    """Roles as a reason names them.

    >>> in_words(["sc", "sr"]), in_words(["sr_2d"])
    ('SC and SR', 'Comprehensive SR')
    """
    older = {SR_ROLES[SrClass.COMPREHENSIVE, per] for per in SrPer}
    names = ["Comprehensive SR" if role in older else role.split("_")[0].upper() for role in roles]
    return " and ".join(names)
