"""Text that every character set can carry, for the objects that we write."""

from __future__ import annotations

import re
import unicodedata

RESEARCH_USE = "Research use, not for diagnosis"
_LO_LENGTH = 64  # PS3.5 6.2
_LOOKALIKES = str.maketrans({
    "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "x",
    "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{MIDDLE DOT}": "-",
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHTWARDS ARROW}": "->", "\N{MICRO SIGN}": "u", "\N{HORIZONTAL ELLIPSIS}": "...",
})  # fmt: skip


def ascii_text(words: str) -> str:
    r"""``words`` in ASCII, which every Specific Character Set contains, on one line.

    The backslash goes too: it separates values, and is a yen sign in ISO_IR 13.

    >>> ascii_text("na\u00efve \u2265 5\n")
    'naive >= 5'
    """
    plain = unicodedata.normalize("NFKD", words.translate(_LOOKALIKES))
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    answered = kept.encode("ascii", "replace").decode("ascii").replace("\\", "/")
    return re.sub(r"[\x00-\x20\x7f]+", " ", answered).strip()


def long_string(words: str) -> str:
    """``words`` as a value of VR LO: ASCII, at most 64 characters."""
    return ascii_text(words)[:_LO_LENGTH].rstrip()
