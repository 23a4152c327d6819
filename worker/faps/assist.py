"""What a probability of malignancy suggests for a finding that a radiologist called BI-RADS 4."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from dicom_node.errors import BundleError
from worker.contracts import ModelCard


class Suggestion(enum.Enum):
    """A direction to consider; never a category of the machine's own."""

    LOWER = "consider lower"
    NO_CHANGE = "no change"
    HIGHER = "consider higher"


LOWERED = frozenset({"4A"})  # nothing more suspicious is ever talked down
RAISED = frozenset({"4", "4A", "4B", "4C"})


LIMITS = ("birads_lower_below", "birads_higher_from")


def require_limits(card: ModelCard) -> None:
    """Raise where a bundle cannot suggest anything.

    Raises
    ------
    BundleError
        When its card lacks the limits.
    """
    missing = [name for name in LIMITS if name not in card.thresholds]
    if missing:
        raise BundleError(
            f"bundle {card.name}: its card has no thresholds {' and '.join(missing)}, without "
            "which nothing is suggested for BI-RADS 4; use a bundle with them, or set "
            "assistance.birads to false"
        )


def suggest(category: str, p_malignant: float, thresholds: Mapping[str, float]) -> Suggestion:
    """What to consider for ``category``, the radiologist's, at a calibrated probability.

    The authors' rule is not published (faps.md §1.3): below ``birads_lower_below`` a 4A may be
    lower, from ``birads_higher_from`` on a 4 may be higher; other categories stay as they are.

    >>> limits = {"birads_lower_below": 0.02, "birads_higher_from": 0.9}
    >>> suggest("4A", 0.01, limits).value, suggest("4C", 0.01, limits).value
    ('consider lower', 'no change')
    >>> suggest("4b", 0.95, limits).value, suggest("5", 0.99, limits).value
    ('consider higher', 'no change')
    """
    given = category.strip().upper()
    if given in LOWERED and p_malignant < thresholds["birads_lower_below"]:
        return Suggestion.LOWER
    if given in RAISED and p_malignant >= thresholds["birads_higher_from"]:
        return Suggestion.HIGHER
    return Suggestion.NO_CHANGE
